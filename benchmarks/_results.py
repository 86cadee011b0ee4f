"""Figures as files, from which the site's page of benchmarks is made.

A script adds the option `--save` to its own, and calls `save` with its tables. The file
``benchmarks/results/<script>.json`` then has them with the command, machine, date, versions
and commit. ``--save NAME``, behind the other arguments, writes ``<script>-<NAME>.json``: so a
script's parts, or runs with other options, each have a file of their own.
"""

import argparse
import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).parent
FOLDER = HERE / "results"


class Table(NamedTuple):
    """A cell is a text, a number, or a list of numbers: one of each seed or split."""

    title: str
    columns: list
    rows: list


def add_option(parser):
    """Let the user of a script ask for the file."""
    help = f"write the tables to {FOLDER.name}/ beside the script, for the site"
    parser.add_argument(
        "--save", nargs="?", const="", type=_file_name, metavar="NAME", help=help
    )


def _file_name(name):
    """Return a name that a file can end in."""
    if not re.fullmatch(r"[\w.-]*", name):
        raise argparse.ArgumentTypeError(f"letters, digits, '.', '_' and '-' only: {name!r}")
    return name


def save(script, tables, name, folder=FOLDER):
    """Write the file of a script, whose path is given, and return the file's path.

    `name` is the value of the option; None is that of a user who has not asked for the file,
    and nothing is written.
    """
    if name is None:
        return None
    # Not above: scripts that time others in processes of their own add the option in these.
    from _machine import machine

    script = Path(script)
    content = {
        "command": shlex.join(["python", f"benchmarks/{script.name}", *_arguments()]),
        **machine(),
        "commit": commit(),
        "tables": [Table(*table)._asdict() for table in tables],
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{script.stem}{'-' * bool(name)}{name}.json"
    # Numbers and arrays of NumPy have `tolist`.
    text = json.dumps(content, indent=1, default=lambda value: value.tolist())
    path.write_text(text + "\n", encoding="utf-8")
    print(f"Results: {path}")
    return path


def _arguments():
    """Return the arguments of the command without the option."""
    own = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_option(own)
    return own.parse_known_args()[1]


def commit():
    """Return the commit of the code that ran, with a plus if files have changed since.

    "unknown" outside of a repository.
    """

    def git(*command):
        done = subprocess.run(["git", *command], cwd=HERE, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")
