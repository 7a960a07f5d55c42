# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Selection by what is missed when it is taken out (DARTS-PT)."""

import math
from typing import Any

import torch
from mmengine.runner import Runner
from torch import nn

from nasiam_mm.architecture.genotype import Decision, GenotypeError
from nasiam_mm.console.handler import SHOWN
from nasiam_mm.engine.stop_signals import heed_signals
from nasiam_mm.search.batches import check_weight_part
from nasiam_mm.search.held_out import mean_weights
from nasiam_mm.search.measured import Measured
from nasiam_mm.search.selection import SELECTIONS, Decisions, scored_choices
from nasiam_mm.search.tuning import WeightSteps, normalise_by_batch, with_fixed
from nasiam_mm.wording import counted


@SELECTIONS.register_module()
class Perturbation(Measured):
    """The candidate of each layer whose removal hurts the supernet most (`DARTS-PT`_, section 4).

    Layer by layer, in a random order, each candidate is taken out in turn while the others stay;
    the one without which a criterion on held-out images falls most is kept and the others dropped
    for good, and the weights are tuned before the next layer. The supernet mixes by the weights of
    no draw in particular, the candidates that are left as the relaxation has it without the other,
    and BatchNorm normalises by the batch. The score of a candidate is the drop of the criterion.

    The paper's ``blank-pt`` is this with ``alpha_step.optimizer=None``: the weights are searched
    with alone. It tunes for 5 epochs between decisions; its criterion is accuracy.

    Args:
        criterion: Config of a registered criterion; None for ``HeldOutContrast``.
        tune_steps: Weight steps after each decision but the last.
        lr: Learning rate of these; None for that with which the run began.
        seed: Of the order; None for the run's.

    .. _DARTS-PT: https://arxiv.org/abs/2108.04392
    """

    name = 'perturbation'

    def __init__(
        self,
        criterion: dict | None = None,
        tune_steps: int = 0,
        lr: float | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(criterion)
        if type(tune_steps) is not int or tune_steps < 0:
            what = f'Perturbation.tune_steps must be an integer from 0 up, got {tune_steps!r}'
            raise ValueError(what)
        number = isinstance(lr, (int, float)) and not isinstance(lr, bool)
        if lr is not None and (not number or not 0 < lr < math.inf):
            raise ValueError(f'Perturbation.lr must be None or a positive number, got {lr!r}')
        if seed is not None and (type(seed) is not int or not 0 <= seed < 2**63):
            raise ValueError(f'Perturbation.seed must be None or an integer from 0, got {seed!r}')
        self.tune_steps, self.lr, self.seed = tune_steps, lr, seed
        self.order: list[str] = []

    def told(self) -> dict[str, Any]:
        """Settings that the provenance of a genotype holds beside the name."""
        tuned = {'tune_steps': self.tune_steps, **({'tune_lr': self.lr} if self.tune_steps else {})}
        return {**super().told(), **tuned, 'order_seed': self.seed, 'order': self.order}

    def check(self, runner: Runner) -> None:
        """Raise ValueError at the start of a run that it cannot choose for."""
        super().check(runner)
        if self.tune_steps:
            check_weight_part(runner)

    def choose(self, runner: Runner, model: nn.Module) -> Decisions:
        """Decide layer by layer."""
        self.seed = runner.seed if self.seed is None else self.seed
        owner = model.architecture
        scored = {choice.name: (best, row) for choice, best, row in scored_choices(owner)}
        layers = [(head, n) for head, rows in owner.choices.items() for n in range(len(rows))]
        names = {(head, n): owner.choices[head][n].name for head, n in layers}
        fixed = {layer: best[0] for layer in layers if len(best := scored[names[layer]][0]) == 1}
        drops = {layer: {position: 0.0} for layer, position in fixed.items()}
        open_layers = [layer for layer in layers if layer not in fixed]
        shuffle = torch.Generator().manual_seed(self.seed)
        order = [open_layers[n] for n in torch.randperm(len(open_layers), generator=shuffle)]
        self.order = [names[layer] for layer in order]
        length = f'{counted(self.tune_steps, "weight step")} after each but the last'
        told = f'choosing by perturbation: {counted(len(order), "choice")}, {length}'
        runner.logger.info(told, extra=SHOWN)
        steps = WeightSteps(runner, model, self.lr) if self.tune_steps else None
        for number, layer in enumerate(order, 1):
            if number == 1 or steps is not None:
                self.criterion.prepare(runner, model)
            candidates, options = sorted(scored[names[layer]][0]), scored[names[layer]][1].options
            heed_signals(runner)
            drops[layer] = self._drops(model, fixed, layer, candidates)
            fixed[layer] = max(candidates, key=drops[layer].__getitem__)
            told = ', '.join(f'{options[k]} {drop:.4g}' for k, drop in drops[layer].items())
            what = f'{names[layer]}: {options[fixed[layer]]} ({number} of {len(order)} decided)'
            runner.logger.info(what, extra=SHOWN)
            runner.logger.info(f'the criterion falls without {told}')
            if len(set(drops[layer].values())) == 1:
                runner.logger.warning(f'the criterion does not depend on {names[layer]}')
            if steps is not None and number < len(order):
                for _ in range(self.tune_steps):
                    heed_signals(runner)
                    steps.take(1, fixed)
        decisions = {}
        for layer in layers:
            options = scored[names[layer]][1].options
            scores = tuple(drops[layer].get(k) for k in range(len(options)))
            decisions[names[layer]] = Decision(options, (options[fixed[layer]],), scores)
        return decisions

    def _drops(
        self, model: nn.Module, fixed: dict, layer: tuple[str, int], candidates: list[int]
    ) -> dict[int, float]:
        """Measure how far the criterion falls without each candidate of a layer, by position."""
        normalise_by_batch(model)
        owner = model.architecture
        values = {}
        for gone in (None, *candidates):
            without = None if gone is None else (*layer, gone)
            with owner.mixed_by(with_fixed(mean_weights(owner, without), fixed)):
                values[gone] = self.value(model)
        if not all(map(math.isfinite, values.values())):
            what = f'{type(self.criterion).__name__} of {layer[0]}.{layer[1]}.op is not finite'
            mend = 'the weights have diverged: lower the learning rates, or tune_steps'
            raise GenotypeError(f'{what}; {mend}')
        return {k: values[None] - values[k] for k in candidates}
