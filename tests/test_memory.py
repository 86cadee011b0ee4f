"""What `fit` needs beyond the data, by the peak memory of a process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# The largest need comes last: the peak of a process only rises.
SCRIPT = """
import json, warnings
import numpy as np
from skvae import VAETransformer
from skvae.networks import MLP

warnings.simplefilter("ignore")
SHAPE = (300_000, 100)

def memory(name):
    # Not getrusage's peak: that begins with the parent's.
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name))

def grid(dtype):
    X = np.empty(SHAPE, dtype)
    X.reshape(-1, 1000, 100)[:] = np.random.default_rng(0).random((1000, 100))
    return X

model = VAETransformer(
    network=MLP((4,)), max_iter=1, early_stopping=True, batch_size=4000, device="cpu"
)
model.fit(np.eye(50))  # what is loaded at the first use
added = {}
for dtype in ("float32", "float64"):
    X = grid(dtype)
    before = memory("VmRSS")
    model.fit(X)
    added[dtype] = (memory("VmHWM") - before) / (4 * X.shape[0] * X.shape[1])
    del X
print(json.dumps(added))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's /proc")
def test_fit_needs_at_most_one_float32_copy_and_for_float32_rows_none():
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{SCRIPT}"
    result = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    copies = json.loads(result.stdout)
    # Blocks and batches take some 70 MB, whatever the number of rows; a copy here is 120 MB.
    assert copies["float32"] < 0.8
    assert copies["float64"] < 1.8
