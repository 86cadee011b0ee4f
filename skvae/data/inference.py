"""Apply a model to rows, whatever their number and memory layout."""

from contextlib import nullcontext

import numpy as np
import torch
from sklearn.utils import check_random_state

from skvae.data.rows import dense
from skvae.machine import cuda_float32, few_threads, told_of_memory

# Elements of the widest layer that one block may hold.
BLOCK_ELEMENTS = 2**22


def by_blocks(function, rows, width, device):
    """Apply a function of a tensor to blocks of rows, in their dtype.

    Memory stays bounded whatever the number of rows.

    Parameters
    ----------
    function : callable
        Maps a tensor (n, n_columns) to a tensor whose first axis is n.
    rows : ndarray or CSR matrix of shape (n_rows, n_columns)
    width : int
        Elements per row of the widest intermediate result.
    device : str or torch.device

    Returns
    -------
    ndarray
        The results, concatenated.
    """
    block, n_rows = max(1, BLOCK_ELEMENTS // max(width, 1)), rows.shape[0]
    exact = cuda_float32() if torch.device(device).type == "cuda" else nullcontext()
    threads = few_threads(min(block, n_rows) * width)
    with torch.inference_mode(), exact, threads, told_of_memory():
        parts = [
            function(_tensor(dense(rows[start : start + block]), device)).cpu().numpy()
            for start in range(0, n_rows, block)
        ]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def own_generator(random_state):
    """Return a RandomState; for None one of its own, not NumPy's global one."""
    if random_state is None:
        return np.random.RandomState()
    return check_random_state(random_state)


def _tensor(rows, device):
    # torch warns of arrays that it could write to, but must not.
    writeable = rows if rows.flags.writeable else rows.copy()
    return torch.from_numpy(np.ascontiguousarray(writeable)).to(device)
