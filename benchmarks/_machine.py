"""What a figure was measured on."""

import datetime
import platform
from pathlib import Path

import joblib
import sklearn
import torch

import skvae


def machine():
    """Return date, processor, threads and versions."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [li.split(":")[1] for li in info.read_text().splitlines() if "model name" in li]
        cpu = names[0].strip() if names else cpu
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return {
        "date": str(datetime.date.today()),
        "machine": (
            f"{cpu}, {joblib.cpu_count()} cores, {torch.get_num_threads()} torch threads, "
            f"{device}"
        ),
        "versions": {
            "Python": platform.python_version(),
            "skvae": skvae.__version__,
            "torch": torch.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def describe_machine():
    """Return all of it as one line."""
    found = machine()
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"# {found['date']}: {found['machine']}; {versions}"
