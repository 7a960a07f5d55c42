# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Selections: from what a search has learnt to a genotype."""

from collections.abc import Mapping
from typing import Any, ClassVar

from mmengine.runner import Runner
from torch import Tensor

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import Choice
from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError
from nasiam_mm.part_registry import open_registry

SELECTIONS = open_registry('selection', 'nasiam_mm.search')
Decisions = dict[str, Decision]


class Selection:
    """How a genotype is chosen.

    Attributes:
        name: What the genotype's provenance calls it.
        looks_at_data: Whether the final choice differs from that of an epoch, see :meth:`finish`.
    """

    name = ''
    looks_at_data = False

    def check(self, runner: Runner) -> None:
        """Raise ValueError at the start of a run that it cannot choose for."""

    def decide(self, architecture: Architecture) -> Decisions:
        """Choose by alpha alone: what a search stands at after an epoch."""
        raise NotImplementedError

    def finish(self, runner: Runner, architecture: Architecture) -> Decisions:
        """Choose at the end of a search, if need be by held-out data, and leave the run as it was.

        Every process calls it and has to come to the same decisions.
        """
        return self.decide(architecture)

    def told(self) -> dict[str, Any]:
        """Settings that the provenance of a genotype holds beside the name."""
        return {}

    def remarks(self, architecture: Architecture) -> list[str]:
        """Say, a line each, what a user should know of the choice at the end of a search."""
        return []


def genotype_of(
    decisions: Decisions, selection: Selection, framework: str, provenance: Mapping[str, Any] = {}
) -> Genotype:
    """Return the genotype of decisions, which says how it was chosen."""
    told = {'selection': selection.name, **selection.told(), **provenance}
    return Genotype(framework, decisions, told)


def scored_choices(architecture: Architecture) -> list[tuple[Choice, list[int], Decision]]:
    """Each choice with its candidates by position, best first, and its scores as a decision.

    The score is alpha; the first in the space's order is first among equals. The decision has
    nothing chosen yet.

    Raises:
        GenotypeError: If a value of alpha is not finite.
    """
    found = []
    for head, choices in architecture.choices.items():
        alpha = architecture.alpha(head).detach().cpu()
        present = architecture.present(head).cpu()
        for choice, row, here in zip(choices, alpha, present, strict=True):
            if not row[here].isfinite().all():
                mend = 'lower the alpha learning rate, or resume from an earlier checkpoint'
                what = f'alpha of {choice.name} is not finite: {row.tolist()}'
                raise GenotypeError(f'{what}; {mend}')
            # A stable sort keeps the space's order among equals.
            order = row.masked_fill(~here, float('-inf')).argsort(descending=True, stable=True)
            pairs = zip(row.tolist(), here.tolist(), strict=True)
            scores = tuple(value if counts else None for value, counts in pairs)
            best = order[: int(here.sum())].tolist()
            found.append((choice, best, Decision(choice.options, (), scores)))
    return found


@SELECTIONS.register_module()
class TopK(Selection):
    """The k operations of highest alpha at each layer (NASiam, Algorithm 1), whose outputs add.

    Where a choice falls between equal alphas, the first in the space's order is taken;
    :attr:`Decision.tied` names the others.

    Args:
        k: Operations a layer: 1, or 2 for ``edge``.
        max_identity: Layers of a head that may be, or begin with, an identity though there is
            something else; of more, those whose identity weighs least go without (P-DARTS,
            section 3.2.2). None: all.
    """

    name = 'top_k'

    def __init__(self, k: int = 1, max_identity: int | None = None) -> None:
        if type(k) is not int or k not in (1, 2):
            raise ValueError(f'TopK.k must be 1 or 2, got {k!r}')
        if max_identity is not None and (type(max_identity) is not int or max_identity < 0):
            raise ValueError(f'TopK.max_identity must be None or from 0 up, got {max_identity!r}')
        self.k, self.max_identity = k, max_identity

    def told(self) -> dict[str, Any]:
        """Settings that the provenance of a genotype holds beside the name."""
        limit = {} if self.max_identity is None else {'max_identity': self.max_identity}
        return {'top_k': self.k, **limit}

    def decide(self, architecture: Architecture) -> Decisions:
        """Choose by alpha alone."""
        found = scored_choices(architecture)
        passed_over = self._surplus(architecture, found)
        decisions = {}
        for choice, best, decision in found:
            if choice.name in passed_over:
                best = [k for k in best if k != choice.identity]
            chosen = tuple(choice.options[k] for k in best[: self.k])
            decisions[choice.name] = Decision(decision.options, chosen, decision.scores)
        return decisions

    def _surplus(self, architecture: Architecture, found: list) -> set[str]:
        """Choices whose identity is one too many and that have something else to take."""
        if self.max_identity is None:
            return set()
        surplus: set[str] = set()
        rows = iter(found)
        for head in architecture.choices:
            weights: Tensor = architecture.weights(head, drawn=False).detach().cpu()
            leads = {
                choice.name: float(row[best[0]])
                for row, (choice, best, _) in zip(weights, rows, strict=False)
                if best[0] == choice.identity and len(best) > 1
            }
            weakest = sorted(leads, key=leads.__getitem__)
            surplus.update(weakest[: max(0, len(leads) - self.max_identity)])
        return surplus


@SELECTIONS.register_module()
class Threshold(Selection):
    """Every operation whose weight reaches a threshold (FairDARTS, section 4.3), at most some.

    Where none reaches it the layer is empty: an identity (a linear map where the width changes),
    or where that is no candidate the best of all. What is chosen together adds.

    Args:
        threshold: Least weight, of the relaxation, from 0 to 1; FairDARTS takes 0.85.
        at_most: Operations a layer.
    """

    name = 'threshold'
    kinds: ClassVar = (int, float)

    def __init__(self, threshold: float = 0.85, at_most: int = 2) -> None:
        if isinstance(threshold, bool) or not isinstance(threshold, self.kinds):
            raise ValueError(f'Threshold.threshold must be a number, got {threshold!r}')
        if not 0 <= threshold <= 1 or type(at_most) is not int or at_most < 1:
            need = 'Threshold.threshold must be from 0 to 1, .at_most a positive integer'
            raise ValueError(f'{need}; got {threshold!r} and {at_most!r}')
        self.threshold, self.at_most = threshold, at_most

    def told(self) -> dict[str, Any]:
        """Settings that the provenance of a genotype holds beside the name."""
        return {'threshold': self.threshold, 'at_most': self.at_most}

    def decide(self, architecture: Architecture) -> Decisions:
        """Choose by alpha alone."""
        decisions, found = {}, iter(scored_choices(architecture))
        for head in architecture.choices:
            weights = architecture.weights(head, drawn=False).detach().cpu()
            for row, (choice, best, decision) in zip(weights, found, strict=False):
                passing = [k for k in best if row[k] >= self.threshold][: self.at_most]
                empty = [k for k in best if k == choice.identity] or best[:1]
                chosen = tuple(choice.options[k] for k in passing or empty)
                decisions[choice.name] = Decision(decision.options, chosen, decision.scores)
        return decisions

    def remarks(self, architecture: Architecture) -> list[str]:
        """Name the layers that are empty."""
        empty, top, total = [], 0.0, 0
        for head, choices in architecture.choices.items():
            best = architecture.weights(head, drawn=False).detach().cpu().amax(1)
            below = [(choice.name, w) for choice, w in zip(choices, best.tolist(), strict=True)
                     if w < self.threshold]  # fmt: skip
            empty += [name for name, _ in below]
            top = max([top, *(weight for _, weight in below)])
            total += len(choices)
        if not empty:
            return []
        what = f'no operation reaches the threshold {self.threshold:g} at {len(empty)} of {total}'
        fill = 'an identity, or the best where the space has none, stands there'
        mend = 'search longer, raise the rate of alpha or lower the threshold'
        names = ', '.join(empty)
        return [f'{what} choices: {names} (highest weight {top:.3f}); {fill}; {mend}']
