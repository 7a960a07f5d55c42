# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Selection of the best of many genotypes, each run as a path of the supernet."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_main_process
from mmengine.runner import Runner
from torch import Tensor, nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.genotype import Decision, GenotypeError
from nasiam_mm.console.handler import SHOWN
from nasiam_mm.engine.stop_signals import heed_signals
from nasiam_mm.files.atomic import write_json
from nasiam_mm.search.measured import Measured
from nasiam_mm.search.selection import SELECTIONS, Decisions
from nasiam_mm.search.tuning import refit, with_fixed

# A position in the space for each layer of all heads, in order.
Path_ = tuple[int, ...]
_TRIES = 100  # for a genotype that was not drawn yet


@SELECTIONS.register_module()
class BestOfSampled(Measured):
    """The best of n sampled genotypes by the weights of the supernet (`SPOS`_, SETN, `Bender`_).

    Each runs as a single path, every layer its one operation at weight 1, after the BatchNorm of
    the heads was fitted to that path: the search's own statistics are of all paths together. The
    first of equals is taken. ``sampled.json`` in the work directory holds all, the best first.

    Args:
        criterion: Config of a registered criterion; None for ``HeldOutContrast``.
        n: Genotypes, without repetition; a space of no more is gone through as a whole.
        by: ``'uniform'`` over the candidates of a layer, or ``'weights'``, as the relaxation
            weighs them.
        refit_batches: Batches of the held-out part, others than the criterion's, to fit to.
        seed: Of the sampling; None for the run's.

    .. _SPOS: https://arxiv.org/abs/1904.00420
    .. _Bender: https://proceedings.mlr.press/v80/bender18a.html
    """

    name = 'best_of_sampled'

    def __init__(
        self,
        criterion: dict | None = None,
        n: int = 100,
        by: str = 'uniform',
        refit_batches: int = 8,
        seed: int | None = None,
    ) -> None:
        super().__init__(criterion)
        for what, value in (('n', n), ('refit_batches', refit_batches)):
            if type(value) is not int or value < 1:
                raise ValueError(f'BestOfSampled.{what} must be a positive integer, got {value!r}')
        if by not in ('uniform', 'weights'):
            raise ValueError(f"BestOfSampled.by must be 'uniform' or 'weights', got {by!r}")
        if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
            raise ValueError(f'BestOfSampled.seed must be None or an integer from 0, got {seed!r}')
        self.n, self.by, self.refit_batches, self.seed = n, by, refit_batches, seed
        self.best: dict[str, Any] = {}

    def told(self) -> dict[str, Any]:
        """Settings that the provenance of a genotype holds beside the name."""
        settings = {'n': self.n, 'by': self.by, 'refit_batches': self.refit_batches}
        return {**super().told(), **settings, 'sampling_seed': self.seed, **self.best}

    def choose(self, runner: Runner, model: nn.Module) -> Decisions:
        """Measure every genotype, and write down all."""
        self.seed = runner.seed if self.seed is None else self.seed
        owner = model.architecture
        paths = sample_paths(chances(owner, self.by), self.n, self.seed)
        self.criterion.prepare(runner, model, spare=self.refit_batches)
        values = []
        for number, path in enumerate(paths, 1):
            heed_signals(runner)
            with owner.mixed_by(one_path(owner, path)):
                refit(model, lambda: self.criterion.put_through(model))
                values.append(self.value(model))
            if number & (number - 1) == 0 or number == len(paths):
                best = f'the best at {max(values):.4g}'
                told = f'{number} of {len(paths)} sampled genotypes measured, {best}'
                runner.logger.info(told, extra=SHOWN)
        if not math.isfinite(max(values)):
            what = f'{type(self.criterion).__name__} is not finite for any genotype'
            raise GenotypeError(f'{what}; the weights have diverged: lower the learning rates')
        ranking = sorted(range(len(paths)), key=lambda n: -values[n])
        self.best = {'value': values[ranking[0]], 'measured': len(paths)}
        if is_main_process():
            rows = [
                {
                    'value': values[n] if math.isfinite(values[n]) else None,
                    'chosen': {c.name: c.options[k] for c, k in _pairs(owner, paths[n])},
                }
                for n in ranking
            ]
            file = Path(runner.work_dir) / 'sampled.json'
            write_json({'selection': self.name, **self.told(), 'ranking': rows}, file)
        chosen = _pairs(owner, paths[ranking[0]])
        return {c.name: Decision(c.options, (c.options[k],)) for c, k in chosen}


def chances(architecture: Architecture, by: str = 'uniform') -> list[Tensor]:
    """Chance of each option, (K,) float64, of each layer of all heads, in order."""
    rows: list[Tensor] = []
    for head in architecture.choices:
        present = architecture.present(head).cpu()
        weights = architecture.weights(head, drawn=False).detach().cpu().double()
        weights = present.double() if by == 'uniform' else weights * present
        rows += weights / weights.sum(1, keepdim=True)
    return rows


def sample_paths(rows: Sequence[Tensor], n: int, seed: int) -> list[Path_]:
    """Draw n different paths, layer by layer by the chances of its options, (K,) each.

    Where there are no more than n, all of them, in order; fewer where the rest is too improbable
    to be drawn.
    """
    possible = [row.nonzero().flatten().tolist() for row in rows]
    if math.prod(map(len, possible)) <= n:
        return list(itertools.product(*possible))
    generator = torch.Generator().manual_seed(seed)
    found: dict[Path_, None] = {}
    for _ in range(_TRIES):
        drawn = [row.multinomial(n, replacement=True, generator=generator) for row in rows]
        for path in zip(*(positions.tolist() for positions in drawn), strict=True):
            found.setdefault(path)
            if len(found) == n:
                return list(found)
    return list(found)


def one_path(architecture: Architecture, path: Path_) -> dict[str, Tensor]:
    """Weights that run one candidate of each layer, (L, K) of each head."""
    layers = [(head, n) for head, rows in architecture.choices.items() for n in range(len(rows))]
    weights = {head: architecture.alpha(head) for head in architecture.choices}
    return with_fixed(weights, dict(zip(layers, path, strict=True)))


def _pairs(architecture: Architecture, path: Path_) -> list[tuple]:
    choices = [choice for rows in architecture.choices.values() for choice in rows]
    return list(zip(choices, path, strict=True))
