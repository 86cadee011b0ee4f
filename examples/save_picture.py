"""Run an example and save its first figure as a small PNG.

    python examples/save_picture.py plot_latent_space
    python examples/save_picture.py tutorials/dense_mnist

The file goes to examples/images, which README and the site show.
"""

import runpy
import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from PIL import Image

here = Path(__file__).parent
for name in sys.argv[1:]:
    plt.close("all")
    runpy.run_path(str(here / f"{name}.py"))
    path = here / "images" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    plt.figure(1).savefig(path, dpi=80)
    # A palette makes it smaller; this one keeps the colours of small points apart.
    method = Image.Quantize.MAXCOVERAGE
    Image.open(path).convert("RGB").quantize(256, method).save(path, optimize=True)
    print(f"Picture: {path}")
