"""One line that says what a figure was measured on."""

import datetime
import platform
from pathlib import Path

import joblib
import sklearn
import torch

import skvae


def describe_machine():
    """Return processor, threads, versions and date."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [li.split(":")[1] for li in info.read_text().splitlines() if "model name" in li]
        cpu = names[0].strip() if names else cpu
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"# {datetime.date.today()}: {cpu}, {joblib.cpu_count()} cores, "
        f"{torch.get_num_threads()} torch threads, {device}; Python "
        f"{platform.python_version()}, skvae {skvae.__version__}, torch {torch.__version__}, "
        f"scikit-learn {sklearn.__version__}"
    )
