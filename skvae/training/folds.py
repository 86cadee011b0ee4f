"""The folds of a cross-validation: their modules, trained and evaluated together."""

import copy
from typing import NamedTuple

import numpy as np
import torch

from skvae.data.rows import MappedRows, RowsOfModels, Subset, batches
from skvae.machine import limit_threads
from skvae.model.modules import batch_modules, member_state
from skvae.model.prepared_rows import prepared_rows
from skvae.training.evaluation import (
    bounded_residuals,
    fixed_draws,
    held_out_noise,
    row_terms,
    terms_and_residuals,
    value_counts,
)
from skvae.training.loop import train_epochs
from skvae.training.steps import make_optimizer

# Most states that are evaluated together, and most elements of their parameters: small
# evaluations spend their time on calls of operations.
_STATES, _STATE_ELEMENTS = 16, 2**20


class Evaluation(NamedTuple):
    """Mean terms over all held-out rows, and the noise per feature used for them."""

    terms: list
    noise: torch.Tensor | None

    @property
    def loss(self):
        """Mean loss of the rows, in nats."""
        return self.terms[0]


class _Group(NamedTuple):
    """Modules trained as one: all, or that of a single fold if they cannot be batched.

    Attributes
    ----------
    module : Module
    optimizer : Optimizer
    rows : Tensor, MappedRows or RowsOfModels
        All rows, as the module takes them.
    kept : Tensor of shape (n,) or RowsOfEach
        The rows to train on.
    held_out : Tensor of shape (n_folds, n_held) or (n_held,)
        Indices of the others.
    counted : Tensor of the same shape
        1 for a held-out row, 0 for one that makes the folds equally long.
    """

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    rows: "torch.Tensor | MappedRows | RowsOfModels"
    kept: "torch.Tensor | RowsOfEach"
    held_out: torch.Tensor
    counted: torch.Tensor


class RowsOfEach:
    """The rows of an epoch: each fold's own, and as many of all rows for one more module.

    Parameters
    ----------
    kept : Tensor of shape (n_folds, n)
        Indices of the rows of each fold.
    n_rows : int
        Number of all rows.
    """

    def __init__(self, kept, n_rows):
        self.kept, self.n_rows = kept, n_rows
        self.shape = (len(kept) + 1, kept.shape[1])

    def shuffled(self, generator):
        """Return the indices of one epoch, (n_folds + 1, n)."""
        n = self.shape[1]
        of_folds = self.kept[:, torch.randperm(n, generator=generator)]
        of_all = torch.randperm(self.n_rows, generator=generator)[:n]
        return torch.cat([of_folds, of_all[None]])


class Folds:
    """The folds of a cross-validation, each with its own module.

    If modules can be batched, the model of all rows is trained beside those of the folds:
    one more takes hardly more time, and a training of its own as much as all folds.

    Parameters
    ----------
    start, setup, n_splits
        As in :func:`skvae.training.cross_validation.fit_cross_validated`.

    Attributes
    ----------
    whole : Module
        The model of all rows at its start.
    has_whole : bool
        Whether its training is that of the last of the modules.
    n_together : int
        Number of states that `evaluate` takes at most.
    """

    def __init__(self, start, setup, n_splits):
        # Imported here, as it would add a third to the package's import time.
        from sklearn.model_selection import KFold

        self.setup, self.n_splits = setup, n_splits
        rows = setup.rows
        splitter = KFold(n_splits, shuffle=True, random_state=setup.streams.seed)
        splits = [tuple(map(torch.as_tensor, split)) for split in splitter.split(rows)]
        modules = [start(Subset(rows, kept)) for kept, _ in splits]
        self.whole = start(rows)
        self.head = modules[0].decoder.head
        # The noise changes the bound only through the squared residuals, if at all.
        self.sets_noise = self.head.has_noise and setup.objective.is_expectation
        self.has_whole = all(module.can_batch for module in modules)
        group = self._together if self.has_whole else self._one_by_one
        self.groups = group(modules, *zip(*splits, strict=True))
        module = self.groups[0].module
        self._parameters = list(module.named_parameters())
        self.n_together, self._evaluated = 1, None
        if self.has_whole:
            n_elements = sum(parameter.numel() for _, parameter in self._parameters)
            self.n_together = min(_STATES, 1 + _STATE_ELEMENTS // n_elements)
            # Another module, as changing the mode of the one in training takes time.
            self._evaluated = copy.deepcopy(module).eval()
        n_held = [len(held_out) for _, held_out in splits]
        self.sizes = torch.tensor(n_held, dtype=torch.float64, device=rows.device)
        self.counts = self._value_counts()
        if self.sets_noise:
            head = self.whole.decoder.head
            start_noise = torch.as_tensor(head.noise_variance()).to(rows.device)
            self._start_noise = start_noise[head.noise_columns]
        # The same draws in each fold.
        self.eps = fixed_draws(setup, max(n_held), self.whole.latent_dim, n_splits)

    def _one_by_one(self, modules, kept, held_out):
        device = self.setup.rows.device
        return [
            _Group(
                module,
                make_optimizer(module, self.setup.plan),
                prepared_rows(self.setup.rows, module),
                *indices,
                torch.ones(len(indices[1]), device=device),
            )
            for module, *indices in zip(modules, kept, held_out, strict=True)
        ]

    def _together(self, modules, kept, held_out):
        # Make the folds equally long: drop a training row, or repeat a held-out row.
        n_kept, n_held = min(map(len, kept)), max(map(len, held_out))
        module, places = batch_modules([*modules, self.whole]), torch.arange(n_held)
        counted = torch.stack([places < len(indices) for indices in held_out]).float()
        held_out = [indices[places.clamp(max=len(indices) - 1)] for indices in held_out]
        kept = torch.stack([indices[:n_kept] for indices in kept])
        return [
            _Group(
                module,
                make_optimizer(module, self.setup.plan),
                prepared_rows(self.setup.rows, module),
                RowsOfEach(kept, len(self.setup.rows)),
                torch.stack(held_out),
                counted.to(self.setup.rows.device),
            )
        ]

    def train(self):
        """Train the modules, one epoch each in turn.

        Yields
        ------
        ndarray of shape (3, n_modules)
            The mean terms of each module in the epoch.
        """
        each = [
            train_epochs(
                group.module,
                self.setup.loss_terms(group.module, "fold draws", k),
                group.rows,
                self.setup.plan,
                self.setup.streams.generator("fold order", k),
                indices=group.kept,
                optimizer=group.optimizer,
                on_step=self.setup.progress.on_step,
            )
            for k, group in enumerate(self.groups)
        ]
        for terms in zip(*each, strict=True):
            yield np.array(terms[0] if self.has_whole else np.transpose(terms))

    def copy_state(self):
        """Return a copy of the present state, from which `load_first` and `load_whole` read.

        Of folds that are not batched it is the state of the first.
        """
        module, optimizer, *_ = self.groups[0]
        if not self.has_whole:
            return member_state(module, 0)
        return {
            name: (
                parameter.detach().clone(),
                {kind: m.clone() for kind, m in optimizer.state.get(parameter, {}).items()},
            )
            for name, parameter in self._parameters
        }

    def load_first(self, state, module):
        """Load the state of the first fold's module into a module."""
        if self.has_whole:
            _load_member(state, 0, module)
        else:
            module.load_state_dict(state)

    def load_whole(self, state, module, optimizer):
        """Load the state of the model of all rows into a module and its optimiser."""
        _load_member(state, -1, module)
        for name, parameter in module.named_parameters():
            moments = state[name][1]
            if moments:
                optimizer.state[parameter] = {
                    kind: (moment[-1] if moment.ndim else moment).clone()
                    for kind, moment in moments.items()
                }

    def evaluate(self, states):
        """Evaluate all held-out rows, each with the module that was not trained on it.

        Parameters
        ----------
        states : list of dict
            At most `n_together` copies that `copy_state` returned. Of folds that are not
            batched it must be that of the present state.

        Returns
        -------
        list of Evaluation
        """
        if self.has_whole:
            self._load_folds(states)
            sums = self._sums(self._evaluated, self.groups[0], len(states))
        else:
            sums = [self._sums(group.module.eval(), group, 1) for group in self.groups]
            sums = torch.stack(sums)[None]
        terms = sums[..., :3].sum(1) / self.sizes.sum()
        if not self.sets_noise:
            return [Evaluation(each, None) for each in terms.tolist()]
        n_noises = self.head.n_noises
        residuals, others = sums[..., 3:].tensor_split([n_noises], dim=-1)
        bounded = bounded_residuals(residuals, self.counts, self._start_noise)
        noise = held_out_noise(self.head, bounded, self.sizes, self.counts)
        n_values = self.counts.sum(0)
        each = self.head.expected_log_probs(residuals.sum(1) / n_values.clamp(min=1), noise)
        reconstruction = (each * (n_values / self.sizes.sum())).sum(-1)
        reconstruction = reconstruction + others.sum((1, 2)) / self.sizes.sum()
        kl = terms[:, 2]
        loss = self.setup.objective.beta * kl - reconstruction
        terms = torch.stack([loss, reconstruction, kl], dim=1).tolist()
        return list(map(Evaluation, terms, noise))

    def _value_counts(self):
        """Return the numbers of values of each fold, by feature with a noise or for all."""
        if self.whole.completion is None or not self.sets_noise:
            return self.sizes[:, None]
        counts = [
            value_counts(self.head, self.setup.rows[group.held_out], group.counted)
            for group in self.groups
        ]
        return torch.cat([each.reshape(-1, each.shape[-1]) for each in counts])

    @torch.no_grad()
    def _load_folds(self, states):
        """Load states of the modules of the folds, one after the other, to evaluate them."""
        n_folds = self.n_splits
        for name, parameter in self._evaluated.named_parameters():
            parameter.data = torch.cat([state[name][0][:n_folds] for state in states])

    @torch.no_grad()
    def _sums(self, module, group, n_states):
        """Return sums over the held-out rows of a module, or (n_states, n_folds, ...) sums.

        They are those of the three terms or, if a noise is set, of what
        :func:`~skvae.training.evaluation.terms_and_residuals` returns.
        """
        rows, is_batched = group.rows, module.n_batch_axes > 0
        eps = self.eps.unsqueeze(1) if is_batched else self.eps
        evaluate = terms_and_residuals if self.sets_noise else row_terms
        sums = 0
        for part in batches((group.held_out.shape[-1], rows.shape[1])):
            x = rows[group.held_out[..., part]]
            x = x.repeat(n_states, 1, 1) if is_batched else x
            with limit_threads(x.numel()):
                each = evaluate(self.setup.objective, module, x, eps[..., part, :])
                each = each.unflatten(0, (n_states, -1)) if is_batched else each
                sums = sums + (each * group.counted[..., part, None]).double().sum(-2)
        return sums


@torch.no_grad()
def _load_member(state, member, module):
    for name, parameter in module.named_parameters():
        parameter.copy_(state[name][0][member])
