"""The steps of the optimiser: AdamW under a one-cycle learning rate."""

import math

import torch

# The rates of OneCycleLR: the peak over the first one, and that over the last one.
_PEAK_OVER_FIRST, _FIRST_OVER_LAST = 25, 1e4
# Share of the steps in which the rate rises.
_RISE = 0.2
# Moments below are set to zero every so many steps. A step divides them by 1e-8 or more, so
# that they change no parameter. Those of weights without a gradient, as of units that have
# become inactive, shrink to denormal numbers, with which a CPU computes far more slowly.
_TINY, _CLEARED_EVERY = 1e-30, 100


def make_optimizer(module, plan):
    """Return AdamW; biases and other vectors are not decayed.

    The learning rate of a layer's weights is multiplied by its `rate_scale`, if it has one.
    """
    n_axes = 2 + module.n_batch_axes
    groups = {}
    for layer_name, layer in module.named_modules():
        for name, parameter in layer.named_parameters(layer_name, recurse=False):
            if parameter.requires_grad:
                is_matrix = parameter.ndim >= n_axes
                scale = getattr(layer, "rate_scale", 1.0) if is_matrix else 1.0
                groups.setdefault((is_matrix, scale), []).append((name, parameter))
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": plan.learning_rate * scale,
                "weight_decay": plan.weight_decay if is_matrix else 0.0,
            }
            for (is_matrix, scale), parameters in groups.items()
        ],
        betas=(0.9, 0.99),
        fused=True,
    )


class Steps:
    """Takes the steps of a training with an optimiser of `make_optimizer`.

    The steps and the rates are those of ``AdamW.step`` and `OneCycleLR`, bit for bit, but for
    moments too small to change anything. Their checks and bookkeeping take longer than the
    arithmetic of a small model, and are done once here. The optimiser's moments must not be
    replaced between the steps.

    Parameters
    ----------
    optimizer : AdamW
    plan : Plan
    n_steps : int
        Number of steps of the whole training.
    """

    def __init__(self, optimizer, plan, n_steps):
        self.optimizer = optimizer
        self.groups = optimizer.param_groups
        self.peaks = [group["lr"] for group in self.groups] if plan.one_cycle else []
        self.n_steps, self.n_done = n_steps, 0
        self._moments = self._counts = None
        kinds = {(p.dtype, p.device) for group in self.groups for p in group["params"]}
        self._is_uniform = len(kinds) == 1
        self._on_gpu = any(device.type == "cuda" for _, device in kinds)
        self._set_rates()

    def step(self):
        """Take one step with the parameters' gradients, and set the rates for the next."""
        gradients = [[p.grad for p in group["params"]] for group in self.groups]
        complete = all(each is not None for part in gradients for each in part)
        if self._moments is None or not complete:
            # It creates the moments, leaves out parameters without a gradient, and takes
            # those of each dtype apart.
            self.optimizer.step()
            self._moments = self._find_moments() if complete and self._is_uniform else None
        else:
            self._step_fused(gradients)
        self.n_done += 1
        self._set_rates()
        if self.n_done % _CLEARED_EVERY == 0 and not self._on_gpu:
            self._clear_tiny_moments()

    def _clear_tiny_moments(self):
        for state in self.optimizer.state.values():
            for moment in (state["exp_avg"], state["exp_avg_sq"]):
                moment.masked_fill_(moment.abs() < _TINY, 0.0)

    def _find_moments(self):
        """Return the means, the mean squares and the numbers of steps, for each group.

        All numbers of steps are made parts of one tensor, and are then raised at once.
        """
        states = [[self.optimizer.state[p] for p in group["params"]] for group in self.groups]
        each = [state for part in states for state in part]
        self._counts = torch.stack([state["step"] for state in each])
        for state, count in zip(each, self._counts.unbind(), strict=True):
            state["step"] = count
        kinds = ("exp_avg", "exp_avg_sq", "step")
        return [[[state[kind] for state in part] for kind in kinds] for part in states]

    @torch.no_grad()
    def _step_fused(self, gradients):
        self._counts += 1
        for group, part, (means, squares, counts) in zip(
            self.groups, gradients, self._moments, strict=True
        ):
            # What torch's `adamw` calls, after checks that take longer than this.
            torch._fused_adamw_(
                group["params"],
                part,
                means,
                squares,
                [],
                counts,
                amsgrad=False,
                beta1=group["betas"][0],
                beta2=group["betas"][1],
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=False,
            )

    def _set_rates(self):
        for group, peak in zip(self.groups, self.peaks, strict=False):
            group["lr"] = one_cycle_rate(peak, self.n_done, self.n_steps)


def one_cycle_rate(peak, n_done, n_steps):
    """Return the learning rate after a number of steps (Smith & Topin 2018).

    It rises to its peak in the first fifth of the steps and then falls, both along a cosine.
    """
    n_rates = n_steps + 1
    # More than one step, as the rise is divided by its length.
    rise = max(_RISE, 1.5 / n_rates) * n_rates - 1
    first = peak / _PEAK_OVER_FIRST
    if n_done <= rise:
        return _between(first, peak, n_done / rise)
    return _between(peak, first / _FIRST_OVER_LAST, (n_done - rise) / (n_steps - rise))


def _between(start, end, share):
    return end + (start - end) / 2 * (math.cos(math.pi * share) + 1)
