"""A regularizer, a schedule, a mixing and a selection of your own, for a search."""

import torch
from torch import Tensor

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.models.mixing import MIXINGS, Mixing
from nasiam_mm.search.gradient.regularizers import REGULARIZERS, AlphaStep, Regularizer
from nasiam_mm.search.gradient.schedules import SCHEDULES, Schedule, SearchStep
from nasiam_mm.search.selection import SELECTIONS, Decisions, Selection, TopK


@REGULARIZERS.register_module()
class Smallness(Regularizer):
    """Mean square of alpha."""

    def value(self, step: AlphaStep) -> Tensor:
        """Return the term, ()."""
        return torch.cat([alpha.square().flatten() for alpha in step.architecture.alphas()]).mean()


@SCHEDULES.register_module()
class AlternateEpochs(Schedule):
    """Steps alpha in every other quarter of a search."""

    def apply(self, step: SearchStep) -> None:
        """Let this step go without alpha, or not."""
        if int(4 * step.progress) % 2 == 0:
            step.takes_alpha_step = False


@MIXINGS.register_module()
class HalfStrength(Mixing):
    """Runs every candidate, and halves what comes out."""

    def mix(self, x, run, shape):
        """Map (N, C_in) to (N, C_out)."""
        return run(x) / 2


@SELECTIONS.register_module()
class NoTwoAlike(Selection):
    """The best operation of each layer that the layer before did not take."""

    name = 'no_two_alike'

    def decide(self, architecture: Architecture) -> Decisions:
        """Choose by alpha alone."""
        decisions, last = {}, None
        for name, decision in TopK().decide(architecture).items():
            ranked = sorted(decision.scored, key=decision.scored.__getitem__, reverse=True)
            last = next((option for option in ranked if option != last), ranked[0])
            decisions[name] = type(decision)(decision.options, (last,), decision.scores)
        return decisions
