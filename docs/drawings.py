"""Draws the site's two drawings as SVG, and the thumbnail of examples without a picture.

    python docs/drawings.py

The files go to docs/_static and are kept in the repository.
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

STATIC = Path(__file__).parent / "_static"
# Okabe and Ito's colours, which the colour-blind can tell apart.
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#e69f00", "#009e73", "#555555"
# Readers need text as text, and files must not differ by their date.
plt.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "skvae", "font.family": "sans-serif"}


def canvas(width, height):
    """Return an empty figure and its Axes, a unit of which is an inch."""
    figure, ax = plt.subplots(figsize=(width, height))
    figure.subplots_adjust(0, 0, 1, 1)
    ax.set(xlim=(0, width), ylim=(0, height))
    ax.set_axis_off()
    return figure, ax


def box(ax, x, y, width, height, title, text="", colour=GREY):
    """Draw a box with a title and text, its lower left corner at (x, y)."""
    style = {"boxstyle": "round,pad=0,rounding_size=0.08", "edgecolor": colour}
    ax.add_patch(
        FancyBboxPatch((x, y), width, height, facecolor=f"{colour}14", linewidth=1.4, **style)
    )
    middle = x + width / 2
    if not text:
        ax.text(middle, y + height / 2, title, ha="center", va="center", weight="bold")
        return
    ax.text(middle, y + height - 0.12, title, ha="center", va="top", weight="bold")
    ax.text(middle, y + height - 0.38, text, ha="center", va="top", fontsize=8.5)


def arrow(ax, start, end, text="", shift=(0, 0.09), **style):
    """Draw an arrow with a text at its middle."""
    style = {"arrowstyle": "-|>", "mutation_scale": 13, "color": GREY, "linewidth": 1.3} | style
    ax.add_patch(FancyArrowPatch(start, end, **style))
    x, y = np.mean([start, end], axis=0) + shift
    ax.text(x, y, text, ha="center", va="bottom", fontsize=8.5, color=GREY)


def draw_model():
    """Draw the model, its start and its training."""
    figure, ax = canvas(9.2, 4.5)
    y, height = 2.55, 1.15
    box(ax, 0.1, y, 1.2, height, "row x", "numbers, pixels,\ncounts, flags,\ncategories", BLUE)
    box(ax, 1.8, y, 1.45, height, "encoder", "linear map\n+ network", ORANGE)
    box(ax, 3.75, y, 1.5, height, "code z", "posterior q(z | x):\nmean and scale", GREEN)
    box(ax, 5.75, y, 1.45, height, "decoder", "linear map\n+ network", ORANGE)
    box(ax, 7.7, y, 1.4, height, "p(x | z)", "likelihood:\nmean and noise", BLUE)
    middle = y + height / 2
    for x0, x1 in ((1.3, 1.8), (3.25, 3.75), (5.25, 5.75), (7.2, 7.7)):
        arrow(ax, (x0, middle), (x1, middle))
    bend = {"connectionstyle": "arc3,rad=-0.16"}
    arrow(ax, (0.7, 3.75), (4.35, 3.75), "transform, latent_posterior", (0, 0.33), **bend)
    arrow(ax, (4.65, 3.75), (8.4, 3.75), "inverse_transform", (0, 0.33), **bend)
    box(ax, 3.75, 1.1, 1.5, 0.75, "prior p(z)", "normal, N(0, I)", GREEN)
    arrow(ax, (4.5, 1.85), (4.5, 2.55))
    arrow(ax, (5.25, 1.47), (8.4, 2.5), "sample", (0.25, -0.3), connectionstyle="arc3,rad=0.28")
    start = "in closed form: both linear maps,\nnoise and mean; the networks give 0"
    box(ax, 0.1, 1.1, 2.95, 0.95, "start: factor analysis", start, BLUE)
    arrow(ax, (2.4, 2.05), (2.4, 2.55))
    training = "E[ log p(x | z) ]  -  KL( q(z | x), p(z) )"
    box(
        ax,
        0.1,
        0.1,
        9.0,
        0.7,
        "training raises the ELBO; the state that is best on held-out rows is kept",
        training,
        ORANGE,
    )
    save(figure, "model")


def draw_house():
    """Draw the floors of the package: a file imports only from below."""
    floors = [
        ("dask/", "models of rows that a Dask cluster holds"),
        (
            "estimators/   callbacks.py   metrics.py",
            "fit, transform, score_samples, sample, impute; Checkpoint; scorers",
        ),
        ("training/", "how long to train, the loop, its history, warnings"),
        ("model/", "the torch modules, their start, ELBO and IWAE"),
        ("likelihoods/   posteriors.py   networks/", "p(x | z), q(z | x), encoder and decoder"),
        (
            "data/   group.py   machine.py   components.py   randomness.py",
            "rows, units, columns; processes, devices",
        ),
    ]
    figure, ax = canvas(9.2, 5.24)
    height = 0.68
    for i, (title, text) in enumerate(floors):
        y = 3.84 - i * 0.74
        box(ax, 0.7, y, 5.9, height, title, text, (GREY, BLUE, GREEN, ORANGE, BLUE, GREY)[i])
        ax.text(0.35, y + height / 2, str(6 - i), ha="center", va="center", weight="bold")
    ax.plot([0.45, 3.65, 6.85], [4.58, 5.16, 4.58], color=GREY, linewidth=1.4)
    ax.text(3.65, 4.74, "skvae", ha="center", weight="bold")
    aside = "stands apart:\ncalls public\nmethods only"
    box(ax, 7.3, 2.36, 1.8, 1.42, "display/", aside, GREEN)
    arrow(ax, (7.3, 3.3), (6.62, 3.44))
    arrow(ax, (6.9, 2.2), (6.9, 0.14), "")
    ax.text(7.05, 1.15, "imports go\ndownwards only", va="center", fontsize=8.5, color=GREY)
    save(figure, "house")


def draw_thumbnail():
    """Draw what stands for an example that is not run."""
    figure, ax = canvas(2.8, 2.0)
    ax.text(1.4, 1.0, "not run with\nthe site", ha="center", va="center", color=GREY)
    figure.savefig(STATIC / "no_picture.png", dpi=100)
    plt.close(figure)


def save(figure, name):
    """Write an SVG and close the figure."""
    figure.savefig(STATIC / f"{name}.svg", metadata={"Date": None}, transparent=True)
    plt.close(figure)


if __name__ == "__main__":
    draw_model()
    draw_house()
    draw_thumbnail()
