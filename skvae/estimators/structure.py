"""A torch module as a description of its parts, and back.

torch's layers are made anew by their constructors, so that a file outlives changes inside
torch. skvae's own modules are made empty and given their attributes: what they hold are
numbers, tensors and other modules.
"""

from torch import nn

from skvae.files import BadFileError
from skvae.networks.base import Linear
from skvae.networks.module import ModuleBody

_CONVOLUTION = ("in_channels", "out_channels", "kernel_size", "stride", "padding", "bias")
_NORM = ("num_features", "eps", "momentum", "affine", "track_running_stats")
# Class -> arguments of its constructor, which are attributes of the same names.
_LAYERS = {
    nn.Identity: (),
    nn.Sigmoid: (),
    nn.Tanh: (),
    nn.ReLU: ("inplace",),
    nn.LeakyReLU: ("negative_slope", "inplace"),
    nn.ELU: ("alpha", "inplace"),
    nn.GELU: ("approximate",),
    nn.SiLU: ("inplace",),
    nn.Sequential: (),
    nn.Unflatten: ("dim", "unflattened_size"),
    Linear: ("in_features", "out_features", "bias"),
    nn.Conv2d: _CONVOLUTION,
    nn.ConvTranspose2d: (*_CONVOLUTION, "output_padding"),
    nn.BatchNorm1d: _NORM,
    nn.BatchNorm2d: _NORM,
}
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def describe_module(describe, module, name):
    """Return the description of a module.

    Parameters
    ----------
    describe : Describer
    module : Module
    name : str
        What errors call it.

    Raises
    ------
    TypeError
        If it holds a module that is neither skvae's nor one of the layers here.
    """
    kind = type(module)
    if kind is ModuleBody or _classes().get(kind.__name__) is not kind:
        what = "the modules of ModuleNetwork" if kind is ModuleBody else f"a {kind.__name__}"
        raise TypeError(
            f"The network holds {what}, whose code is the user's own and not in skvae: a file "
            "without code cannot rebuild it. Use pickle or joblib for this estimator; their "
            "files run code when they are loaded, so take them only from where you trust."
        )
    if kind in _LAYERS:
        given = {key: _argument(module, key) for key in _LAYERS[kind]}
    else:
        given = {k: v for k, v in vars(module).items() if k not in _OF_EVERY_MODULE}

    def told(values):
        return {key: describe(value, f"{name}.{key}") for key, value in values.items()}

    return {
        "class": kind.__name__,
        "given": told(given),
        "parameters": told(module._parameters),
        "buffers": told(module._buffers),
        "transient": sorted(module._non_persistent_buffers_set),
        "children": {
            key: None if child is None else describe_module(describe, child, name)
            for key, child in module._modules.items()
        },
    }


def rebuild_module(rebuild, description):
    """Return the module of a description.

    Parameters
    ----------
    rebuild : Rebuilder
    description : dict

    Raises
    ------
    BadFileError
        If its parts do not fit together.
    """
    kind = _classes()[description["class"]]
    given, parameters, buffers = (
        {key: rebuild(value) for key, value in description[part].items()}
        for part in ("given", "parameters", "buffers")
    )
    is_layer = kind in _LAYERS
    module = _layer(kind, given, parameters, buffers) if is_layer else _own(kind, given)
    for key, value in parameters.items():
        module.register_parameter(key, None if value is None else nn.Parameter(value))
    for key, value in buffers.items():
        module.register_buffer(key, value, persistent=key not in description["transient"])
    for key, child in description["children"].items():
        module.register_module(key, None if child is None else rebuild_module(rebuild, child))
    return module


def _classes():
    """Return name -> class of what may be rebuilt: the layers, and what skvae defines.

    Only classes that are imported are found; nothing is imported for a file.
    """
    found, queue = {kind.__name__: kind for kind in _LAYERS}, [nn.Module]
    while queue:
        children = queue.pop().__subclasses__()
        queue += children
        found |= {c.__name__: c for c in children if c.__module__.startswith("skvae.")}
    del found[ModuleBody.__name__]
    return found


def _argument(module, key):
    return module.bias is not None if key == "bias" else getattr(module, key)


def _layer(kind, given, parameters, buffers):
    """Make a layer by its constructor, without numbers; the file's must fit it."""
    module = kind(**given, device="meta") if _takes_device(kind) else kind(**given)
    for expected, found in ((module._parameters, parameters), (module._buffers, buffers)):
        if _shapes(expected) != _shapes(found):
            raise BadFileError(f"its {kind.__name__} does not fit its numbers")
    return module


def _takes_device(kind):
    return any(name in _LAYERS[kind] for name in ("bias", "affine"))


def _shapes(tensors):
    return {key: None if t is None else tuple(t.shape) for key, t in tensors.items()}


def _own(kind, given):
    """Make a module of skvae's with these attributes, past its constructor."""
    if not _OF_EVERY_MODULE.isdisjoint(given):
        raise BadFileError(f"its {kind.__name__} has attributes that are torch's own")
    module = kind.__new__(kind)
    nn.Module.__init__(module)
    vars(module).update(given)
    return module
