"""Figures as files, from which the site's page of benchmarks is made.

A script adds the option `--save` to its own, and calls `save` with its tables. The file
``benchmarks/results/<script>.json`` then has them with the command, machine, date, versions
and commit.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from _machine import machine

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
    parser.add_argument("--save", action="store_true", help=help)


def save(script, tables, folder=FOLDER):
    """Write the file of a script, whose path is given, and return the file's path."""
    script = Path(script)
    arguments = [argument for argument in sys.argv[1:] if argument != "--save"]
    content = {
        "command": " ".join(["python", f"benchmarks/{script.name}", *arguments]),
        **machine(),
        "commit": commit(),
        "tables": [Table(*table)._asdict() for table in tables],
    }
    folder.mkdir(exist_ok=True)
    path = folder / f"{script.stem}.json"
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(f"Results: {path}")
    return path


def commit():
    """Return the commit of the code that ran, with a plus if files have changed since.

    "unknown" outside of a repository.
    """

    def git(*command):
        done = subprocess.run(["git", *command], cwd=HERE, capture_output=True, text=True)
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")
