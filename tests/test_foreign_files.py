"""skvae.load refuses what is not whole, or another's, and runs none of it."""

import hashlib
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import skvae
from skvae import VAETransformer
from skvae.files import pack
from skvae.networks import MLP


@pytest.fixture(scope="module")
def data(quick, iris, tmp_path_factory):
    """Return the bytes of a saved file."""
    path = tmp_path_factory.mktemp("saved") / "model.skvae"
    skvae.save(quick(network=MLP((3,))).partial_fit(iris), path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.skvae"


# -- files that are not whole, or another's ----------------------------------------------


def test_no_truncated_file_is_loaded(data, path):
    for end in [*range(0, len(data), 97), len(data) - 1]:
        path.write_bytes(data[:end])
        with pytest.raises(ValueError, match=r"Cannot load .*model\.skvae.*(by skvae|checks)"):
            skvae.load(path)


def test_no_altered_byte_is_overlooked(data, path):
    for place in [*range(0, 120), *range(120, len(data), 61)]:
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        with pytest.raises(ValueError, match="Cannot load"):
            skvae.load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(ValueError, match="truncated or was altered"):
        skvae.load(path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.write_text, (self.path, "ran")


def as_torch_file(bomb):
    file = io.BytesIO()
    torch.save(bomb, file)
    return file.getvalue()


FOREIGN = {
    "pickle": pickle.dumps,
    "torch": as_torch_file,
    "pickle after the first line": lambda bomb: b"skvae model, format 1\n" + pickle.dumps(bomb),
    "pickle with a checksum": lambda bomb: signed(pickle.dumps(bomb)),
    "pickle as the numbers": lambda bomb: pack(
        {"class": "VAETransformer", "state": {"_fitted": {"fitted": 0}}, "requests": None},
        [np.frombuffer(pickle.dumps(bomb), np.uint8)],
    ),
    "empty": lambda bomb: b"",
    "text": lambda bomb: b"skvae model, format one\n",
}  # fmt: skip


def signed(content):
    checksum = hashlib.sha256(content).hexdigest().encode()
    return b"skvae model, format 1\n" + checksum + b"\n" + content


@pytest.mark.parametrize("make", FOREIGN.values(), ids=list(FOREIGN))
def test_a_file_that_would_run_code_is_refused_and_nothing_runs(make, path, tmp_path):
    bomb = Bomb(tmp_path / "ran")
    path.write_bytes(make(bomb))
    with pytest.raises(ValueError, match="Cannot load"):
        skvae.load(path)
    assert not bomb.path.exists()
    pickle.loads(pickle.dumps(bomb))
    assert bomb.path.exists(), "the bomb is a live one"


MODULE = {"parameters": {}, "buffers": {}, "transient": [], "children": {}}
FORGED = {
    "another estimator": {"class": "Pipeline"},
    "a function": {"state": {"verbose": {"os.system": "echo"}}},
    "another component": {"state": {"network": {"component": ["ModuleNetwork", {}]}}},
    "a parameter that is none": {"state": {"network": {"component": ["MLP", {"x": 1}]}}},
    "another module": {"state": {"m": {"fitted": {"class": "Transformer", **MODULE}}}},
    "a user's module": {
        "state": {"m": {"fitted": {"class": "ModuleBody", "given": {}, **MODULE}}}
    },
    "hooks": {
        "state": {
            "m": {"fitted": {"class": "VAE", "given": {"_forward_hooks": None}, **MODULE}}
        }
    },
    "a layer without numbers": {
        "state": {
            "m": {
                "fitted": {
                    "class": "Linear",
                    "given": {"in_features": 10**9, "out_features": 10**9, "bias": False},
                    **MODULE,
                }
            }
        }
    },
    "a request of another method": {"requests": {"dict": [["x", {"dict": []}]]}},
    "no state": {"state": None},
    "two kinds": {"state": {"tol": {"tuple": [], "float": "1"}}},
    "an array that is not there": {"state": {"tol": {"array": 3}}},
}


@pytest.mark.parametrize("change", FORGED.values(), ids=list(FORGED))
def test_a_forged_description_is_refused(change, path):
    whole = {"class": "VAETransformer", "state": {}, "requests": {"dict": []}}
    path.write_bytes(pack(whole, []))
    assert isinstance(skvae.load(path), VAETransformer)
    path.write_bytes(pack(whole | change, []))
    with pytest.raises(
        ValueError, match=r"Cannot load.*(do not fit together|does not fit|own)"
    ):
        skvae.load(path)


@pytest.mark.parametrize("table", [
    [["<f8", [2]]], [["<f8", [0]]], [["|O", [1]]], [["<f8", [-1]]], [["<f8", [2**62, 4]]],
    [["<U1", [2]]], [["V8", [1]]],
])  # fmt: skip
def test_arrays_that_the_bytes_do_not_hold_are_refused(table, path):
    content = json.dumps({"model": {}, "arrays": table}).encode() + b"\n12345678"
    path.write_bytes(signed(content))
    with pytest.raises(ValueError, match="it holds"):
        skvae.load(path)


def test_a_newer_format_says_what_to_do(data, path):
    path.write_bytes(data.replace(b"format 1", b"format 12", 1))
    with pytest.raises(ValueError, match=r"has format 12.*up to 1.*Upgrade skvae"):
        skvae.load(path)


def test_a_missing_file_is_no_value_error(path):
    with pytest.raises(FileNotFoundError):
        skvae.load(path)
