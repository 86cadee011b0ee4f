"""Files of models: a checked container of JSON and arrays, and writing without half files.

A file is three lines and then bytes: the name and number of the format, the SHA-256 of all
that follows, a JSON document, and the arrays in it one after the other. Nothing in it is a
program, and no part is ever handed to an unpickler.
"""

import hashlib
import json
import os
import re
import stat
import uuid
from contextlib import suppress
from pathlib import Path

import numpy as np

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MAGIC = b"skvae model, format "
_FORMAT = 1
# Numbers and truth values, little-endian; no objects and no strings.
_DTYPE = re.compile(r"(<[iuf][248]|\|[iu]1|\|b1)")


class BadFileError(ValueError):
    """Why a file cannot be loaded: the end of a sentence."""


def check_writable(path):
    """Refuse a path that no file can be written to.

    Raises
    ------
    FileNotFoundError
        If its folder is missing.
    IsADirectoryError
        If it is a folder itself.
    ValueError
        If it is a device or a pipe, which a file would replace.
    """
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder} to write {path} to.")
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder: give the path of a file.")
    if Path(path).exists() and not Path(path).is_file():
        raise ValueError(f"{path} is no regular file and would be replaced by one.")


def write_atomically(path, data):
    """Write bytes so that `path` holds all of them or what it held before.

    What a writer that was killed leaves behind is ``.<name>.tmp`` in the same folder, at
    most one for each path; the next writer takes it over. Writers of one path wait for
    each other.

    Parameters
    ----------
    path : str or PathLike
    data : bytes-like
    """
    check_writable(path)
    # A link stays a link: what it points to is replaced.
    path = Path(os.path.realpath(path))
    mode = path.stat().st_mode if path.exists() else None
    write = _write_by_turns if fcntl else _write_alone
    write(path, data, mode)
    _sync_folder(path.parent)


def _write_by_turns(path, data, mode):
    """Write to the one temporary file of this path, which is locked."""
    temporary = path.with_name(f".{path.name}.tmp")
    with _locked(temporary) as file:
        try:
            file.truncate(0)
            _write_out(file, data, mode)
            # Before the lock is given up: the next writer finds no file of this name.
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _write_alone(path, data, mode):
    """Write to a temporary file of a name of its own, where there are no locks."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            _write_out(file, data, mode)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_out(file, data, mode):
    keeps_mode = mode is not None and hasattr(os, "fchmod")
    if keeps_mode:
        # Who may not read the file before may not read it now. Its owner may write to what
        # a killed writer leaves, though: the next one has to.
        os.fchmod(file.fileno(), stat.S_IMODE(mode) | stat.S_IWUSR)
    file.write(data)
    file.flush()
    os.fsync(file.fileno())
    if keeps_mode:
        os.fchmod(file.fileno(), stat.S_IMODE(mode))


def _locked(path):
    """Open the file at `path`, made where there is none, when no other writer has it."""
    while True:
        file = open(path, "wb", opener=_open_as_it_is)  # noqa: SIM115
        # Some network file systems know no locks. A killed process gives its own up.
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        # While this one waited the other gave its file the final name.
        file.close()


def _open_as_it_is(path, flags):
    # Not emptied before it is locked, and not through a link that someone has laid there.
    return os.open(path, flags & ~os.O_TRUNC | os.O_NOFOLLOW, 0o666)


def _sync_folder(folder):
    """Make the new name last through a power cut, where the system can."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def pack(description, arrays):
    """Return the bytes of a file.

    Parameters
    ----------
    description : object
        What JSON can say.
    arrays : list of ndarray
        Of numbers or truth values.

    Returns
    -------
    bytes
    """
    arrays = [np.asarray(a, a.dtype.newbyteorder("<"), order="C") for a in arrays]
    table = [[array.dtype.str, list(array.shape)] for array in arrays]
    document = {"model": description, "arrays": table}
    line = json.dumps(document, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    content = b"".join([line, *(array.tobytes() for array in arrays)])
    checksum = hashlib.sha256(content).hexdigest().encode()
    return b"%s%d\n%s\n%s" % (_MAGIC, _FORMAT, checksum, content)


def unpack(data):
    """Return the description and the arrays of a file's bytes.

    Raises
    ------
    BadFileError
        If they are not such a file's, wholly and unaltered.
    """
    first, _, rest = data.partition(b"\n")
    number = first.removeprefix(_MAGIC)
    if not first.startswith(_MAGIC) or not number.isdigit():
        raise BadFileError(
            "it was not written by skvae.save. Files of pickle, joblib or torch run code when "
            "they are loaded: open them with what wrote them, if you trust their origin"
        )
    if int(number) > _FORMAT:
        raise BadFileError(
            f"it has format {int(number)}, and this skvae reads up to {_FORMAT}: a newer "
            "skvae wrote it. Upgrade skvae"
        )
    checksum, _, content = rest.partition(b"\n")
    if hashlib.sha256(content).hexdigest().encode() != checksum:
        raise BadFileError("its checksum does not fit: it is truncated or was altered")
    line, _, numbers = content.partition(b"\n")
    document = json.loads(line)
    return document["model"], _arrays(document["arrays"], numbers)


def _arrays(table, numbers):
    """Cut the arrays out of the bytes; each is a copy of its own."""
    arrays, start = [], 0
    for name, shape in table:
        if not _DTYPE.fullmatch(name):
            raise BadFileError(f"it holds an array of dtype {name!r}")
        dtype = np.dtype(name)
        # Python's integers: a forged shape must not overflow into a small one.
        count = 1
        for side in shape:
            count *= side if isinstance(side, int) and side >= 0 else len(numbers) + 1
        end = start + count * dtype.itemsize
        if end > len(numbers):
            raise BadFileError("it holds fewer numbers than it announces")
        array = np.frombuffer(numbers, dtype, count, start).reshape(shape)
        arrays.append(array.astype(dtype.newbyteorder("="), copy=True))
        start = end
    if start != len(numbers):
        raise BadFileError("it holds more numbers than it announces")
    return arrays
