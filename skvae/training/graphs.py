"""Computations on a GPU that are captured once, and then repeated for other values.

A GPU computes a small training step in less time than Python takes to give it the kernels. A
CUDA graph gives it all of them at once.
"""

import torch


def capture(function, inputs):
    """Do a computation on a GPU and capture its kernels as a CUDA graph.

    Parameters
    ----------
    function : callable
        Maps the inputs to a list of tensors, or None. It must be a function of the inputs and
        of tensors that are changed in place only, such as parameters, and must not wait for
        the GPU.
    inputs : list of Tensor

    Returns
    -------
    results : list of Tensor or None
    repeat : callable or None
        Maps other inputs of the same shapes to what `function` would return for them. The next
        call overwrites the results. None if the computation cannot be captured.
    """
    kept = [each.clone() for each in inputs]
    current, graph = torch.cuda.current_stream(kept[0].device), torch.cuda.CUDAGraph()
    # Kernels are captured from a stream of their own, on which they must have run before.
    stream = torch.cuda.Stream(kept[0].device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        results = function(*kept)
        try:
            # Other threads may use the GPU meanwhile.
            with torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
                outputs = function(*kept)
        except RuntimeError:
            graph = None
    current.wait_stream(stream)
    if graph is None:
        return results, None

    def repeat(*others):
        for own, other in zip(kept, others, strict=True):
            own.copy_(other)
        graph.replay()
        return outputs

    return results, repeat
