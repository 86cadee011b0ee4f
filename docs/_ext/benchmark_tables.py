"""The directive `benchmark-tables`: a section for each script in benchmarks/.

Its text is the first paragraph of the script's docstring; its tables are those of the files
that ``python benchmarks/<script>.py --save [NAME]`` writes, one for each name.
"""

import ast
import json
import math
import statistics
from pathlib import Path

from sphinx.util.docutils import SphinxDirective

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def first_paragraph(script):
    """Return the first paragraph of a script's docstring."""
    text = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    return " ".join(text.split("\n\n")[0].split())


def cell(value):
    """Return a cell's text; of several numbers mean and standard deviation."""
    if isinstance(value, str):
        return value or " "
    if isinstance(value, list):
        if len(value) == 1:
            return cell(value[0])
        spread = statistics.stdev(value)
        if spread == 0:
            return f"{cell(value[0])} (0)"
        # As many decimals as give the spread two digits.
        decimals = max(0, 1 - math.floor(math.log10(spread)))
        return f"{statistics.mean(value):.{decimals}f} ({spread:.{decimals}f})"
    if isinstance(value, int):
        return str(value)
    # Four digits, but never an exponent for what is large.
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def table_lines(table):
    """Return the lines of a list-table."""
    lines = [f".. list-table:: {table['title']}", "   :header-rows: 1", ""]
    for row in [table["columns"], *table["rows"]]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell(value)}" for i, value in enumerate(row)]
    return [*lines, ""]


def section_lines(script):
    """Return the lines of a script's section."""
    lines = [script.name, "-" * len(script.name), "", first_paragraph(script), ""]
    files = [path for path in stored_files(script.parent) if script_name(path) == script.stem]
    if not files:
        return [*lines, "*No results are stored yet.*", ""]
    return [*lines, *(line for path in files for line in file_lines(path))]


def stored_files(benchmarks):
    """Return the files of all scripts; of one script first that without a name."""
    return sorted((benchmarks / "results").glob("*.json"), key=lambda path: path.stem)


def script_name(path):
    """Return the name of the script whose file this is."""
    return path.stem.partition("-")[0]


def file_lines(path):
    """Return the lines of a file's tables, and what their figures come from."""
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = [line for table in found["tables"] for line in table_lines(table)]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    source = f"{found['date']}, {found['machine']}; {versions}; commit {found['commit']}."
    return [*lines, f"``{found['command']}``. {source}", ""]


def named_lines(benchmarks, name):
    """Return the lines of one file's tables, or what makes them."""
    path = benchmarks / "results" / f"{name}.json"
    if path.exists():
        return file_lines(path)
    script, _, own = name.partition("-")
    return [f"*No results of* ``benchmarks/{script}.py {own}`` *are stored yet.*", ""]


class BenchmarkTables(SphinxDirective):
    """Inserts the sections of all scripts, those with results first.

    With names of files in ``benchmarks/results/`` as its argument, only their tables.
    """

    optional_arguments, final_argument_whitespace = 1, True
    has_content = False

    def run(self):
        """Return the parsed sections or tables."""
        lines = self._tables(self.arguments[0].split()) if self.arguments else self._sections()
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)

    def _tables(self, names):
        for name in names:
            self.env.note_dependency(str(BENCHMARKS / "results" / f"{name}.json"))
        return [line for name in names for line in named_lines(BENCHMARKS, name)]

    def _sections(self):
        files = stored_files(BENCHMARKS)
        stored = set(map(script_name, files))
        scripts = sorted(path for path in BENCHMARKS.glob("[!_]*.py"))
        for path in [*scripts, *files]:
            self.env.note_dependency(str(path))
        scripts.sort(key=lambda path: path.stem not in stored)
        return [line for script in scripts for line in section_lines(script)]


def setup(app):
    """Register with Sphinx."""
    app.add_directive("benchmark-tables", BenchmarkTables)
    return {"parallel_read_safe": True}
