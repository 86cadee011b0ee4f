"""Every example that needs no download runs as it stands, without a warning."""

from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("plot_*.py"))
# What they need beyond the test dependencies.
NEEDED = {"plot_onnx_export": ["onnx", "onnxscript", "onnxruntime"]}


def test_there_are_examples():
    assert len(SCRIPTS) >= 14


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
# Whether a short training has settled may differ between processors.
@pytest.mark.filterwarnings("default::sklearn.exceptions.ConvergenceWarning")
# Of torch's exporter.
@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")
def test_example_runs_and_draws(script, tmp_path, monkeypatch):
    for module in NEEDED.get(script.stem, []):
        pytest.importorskip(module)
    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    namespace = {"__name__": "__main__"}
    try:
        exec(compile(script.read_text(encoding="utf-8"), str(script), "exec"), namespace)
        assert plt.get_fignums()
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
    finally:
        plt.close("all")


@pytest.mark.parametrize(
    "script",
    [
        *SCRIPTS,
        *sorted(EXAMPLES.glob("tutorials/*.py")),
        *sorted(EXAMPLES.glob("cluster/*.py")),
    ],
    ids=lambda script: script.stem,
)
def test_example_is_titled_and_compiles(script):
    # The tutorials' own data are not at hand everywhere.
    source = script.read_text(encoding="utf-8")
    compile(source, str(script), "exec")
    title, underline = source.split("\n")[1:3]
    assert underline == "=" * len(title)
