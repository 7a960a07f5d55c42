# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Selection of the edges of cells (DARTS)."""

from itertools import islice
from typing import Any

from mmengine.runner import Runner

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import Choice
from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.engine.running import unwrap
from nasiam_mm.search.selection import SELECTIONS, Decisions, Selection, scored_choices

_CELLS = 'normal', 'reduction'
_NO_EDGE = 'none'


@SELECTIONS.register_module()
class TopEdges(Selection):
    """The operation of highest alpha at each edge, and of each node's edges the strongest.

    As in `DARTS`_, section 2.4: an edge is as strong as the weight of its best operation but
    ``'none'``; what is left out is ``'none'``. Of what is no cell it takes the highest alpha.

    Args:
        edges: Edges that a node keeps.

    .. _DARTS: https://arxiv.org/abs/1806.09055
    """

    name = 'top_edges'

    def __init__(self, edges: int = 2) -> None:
        if type(edges) is not int or edges < 1:
            raise ValueError(f'TopEdges.edges must be a positive integer, got {edges!r}')
        self.edges = edges

    def told(self) -> dict[str, Any]:
        """Settings that the provenance of a genotype holds beside the name."""
        return {'edges': self.edges}

    def check(self, runner: Runner) -> None:
        """Raise ValueError at the start of a run that it cannot choose for."""
        choices = unwrap(runner.model).architecture.choices
        cells = [choice for group in _CELLS for choice in choices.get(group, ())]
        if not cells:
            mend = "take TopK, or a backbone ChoiceCells with a space that has 'none'"
            raise ValueError(f'TopEdges chooses edges of cells, and none are searched; {mend}')
        if _NO_EDGE not in cells[0].options:
            what = "TopEdges takes edges away, which the operation 'none' stands for"
            raise ValueError(f'{what}; add it to model.backbone.space')

    def decide(self, architecture: Architecture) -> Decisions:
        """Choose by alpha alone."""
        decisions, found = {}, iter(scored_choices(architecture))
        for group, choices in architecture.choices.items():
            rows = list(islice(found, len(choices)))
            weights = architecture.weights(group, drawn=False).detach().cpu().tolist()
            best = [self._best(group, choice, order) for choice, order, _ in rows]
            kept = set(range(len(rows)))
            if group in _CELLS:
                strength = [row[k] for row, k in zip(weights, best, strict=True)]
                kept = self._strongest(strength)
            for n, (choice, _, decision) in enumerate(rows):
                option = choice.options[best[n]] if n in kept else _NO_EDGE
                decisions[choice.name] = Decision(decision.options, (option,), decision.scores)
        return decisions

    def _best(self, group: str, choice: Choice, order: list[int]) -> int:
        some = [k for k in order if group not in _CELLS or choice.options[k] != _NO_EDGE]
        return (some or order)[0]

    def _strongest(self, strength: list[float]) -> set[int]:
        """Edges to keep: of the first node two come in, of each next one more."""
        kept: set[int] = set()
        first, count = 0, 2
        while first < len(strength):
            into = range(first, first + count)
            kept.update(sorted(into, key=lambda n: -strength[n])[: self.edges])
            first, count = first + count, count + 1
        return kept
