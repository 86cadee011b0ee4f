"""Computations on a GPU that are captured once, and then repeated for other values.

A GPU computes a small training step in less time than Python takes to give it the kernels. A
CUDA graph gives it all of them at once.
"""

import warnings

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
    device, graph = kept[0].device, torch.cuda.CUDAGraph()
    current = torch.cuda.current_stream(device)
    # Kernels are captured from a stream of their own, on which they must have run before.
    stream = torch.cuda.Stream(device)
    stream.wait_stream(current)
    with torch.cuda.stream(stream):
        results = function(*kept)
        outputs = _try_to_capture(graph, function, kept, stream)
    current.wait_stream(stream)
    if outputs is None:
        return results, None

    def repeat(*others):
        for own, other in zip(kept, others, strict=True):
            own.copy_(other)
        graph.replay()
        return outputs

    return results, repeat


def _try_to_capture(graph, function, inputs, stream):
    """Return the tensors that a graph fills, or None if the capture fails."""
    generator = torch.cuda.default_generators[inputs[0].device.index]
    state = generator.clone_state()
    try:
        # Other threads may use the GPU meanwhile. torch warns if nothing was captured before
        # an error.
        with (
            warnings.catch_warnings(action="ignore"),
            torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"),
        ):
            return function(*inputs)
    except RuntimeError:
        # The generator would remain in the state of a capture, in which it draws no numbers.
        generator.graphsafe_set_state(state)
        return None
