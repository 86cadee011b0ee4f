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
        return cell(value[0]) if len(value) == 1 else mean_and_spread(value)
    if isinstance(value, int):
        return str(value)
    # Four digits, but never an exponent for what is large.
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def mean_and_spread(values):
    """Return the mean of numbers, and their standard deviation in brackets."""
    mean, spread = statistics.mean(values), statistics.stdev(values)
    if spread == 0:
        return f"{cell(values[0])} (0)"
    if not 1e-4 <= abs(mean) < 1e6:
        return f"{mean:.2g} ({spread:.2g})"
    # As many decimals as give the spread two digits, or one, if the mean has four by then.
    one = -math.floor(math.log10(spread))
    four = 3 - math.floor(math.log10(abs(mean)))
    decimals = max(0, one, min(one + 1, four))
    return f"{mean:.{decimals}f} ({spread:.{decimals}f})"


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


def content(path):
    """Return what a script has written."""
    return json.loads(path.read_text(encoding="utf-8"))


def file_lines(path):
    """Return the lines of a file's tables, and what their figures come from."""
    found = content(path)
    lines = [line for table in found["tables"] for line in table_lines(table)]
    return [*lines, *source_lines(found)]


def source_lines(found):
    """Return the lines that say what a file's figures come from."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    source = f"{found['date']}, {found['machine']}; {versions}; commit {found['commit']}."
    return [".. rst-class:: source", "", f"``{found['command']}``. {source}", ""]


def named_lines(benchmarks, names, columns=()):
    """Return the lines of the tables of files, those of one title as one table.

    With `columns` only these are shown, and no table that has none of them.
    """
    paths = [benchmarks / "results" / f"{name}.json" for name in names]
    found = [content(path) for path in paths if path.exists()]
    tables = merged([table for each in found for table in each["tables"]])
    lines = [line for table in selected(tables, columns) for line in table_lines(table)]
    lines += [line for each in found for line in source_lines(each)]
    for path in paths:
        if not path.exists():
            script, _, own = path.stem.partition("-")
            command = f"benchmarks/{script}.py {own}".rstrip()
            lines += [f"*No results of* ``{command}`` *are stored yet.*", ""]
    return lines


def selected(tables, columns):
    """Return the tables with these columns only; without names all as they are."""
    if not columns or not tables:
        return tables
    unknown = set(columns).difference(*(table["columns"] for table in tables))
    if unknown:
        raise ValueError(f"no table has the columns {sorted(unknown)}")
    return [chosen(table, columns) for table in tables if set(columns) & set(table["columns"])]


def merged(tables):
    """Return the tables, the rows of those of one title and columns together."""
    together = {}
    for table in tables:
        rows = together.setdefault((table["title"], tuple(table["columns"])), [])
        # Each run of a script may have the same first rows, to compare with.
        rows += [row for row in table["rows"] if row not in rows]
    return [
        {"title": title, "columns": columns, "rows": rows}
        for (title, columns), rows in together.items()
    ]


def chosen(table, columns):
    """Return a table with some of its columns."""
    places = [i for i, name in enumerate(table["columns"]) if name in columns]
    rows = [[row[i] for i in places] for row in table["rows"]]
    return table | {"columns": [table["columns"][i] for i in places], "rows": rows}


class BenchmarkTables(SphinxDirective):
    """Inserts the sections of all scripts, those with results first.

    With names of files in ``benchmarks/results/`` as its argument, only their tables, of which
    the option `columns` shows some, named with semicolons between.
    """

    optional_arguments, final_argument_whitespace = 1, True
    option_spec = {"columns": lambda text: [name.strip() for name in text.split(";")]}
    has_content = False

    def run(self):
        """Return the parsed sections or tables."""
        lines = self._tables(self.arguments[0].split()) if self.arguments else self._sections()
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)

    def _tables(self, names):
        for name in names:
            self.env.note_dependency(str(BENCHMARKS / "results" / f"{name}.json"))
        return named_lines(BENCHMARKS, names, self.options.get("columns", ()))

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
