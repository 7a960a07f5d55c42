# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Selection of the edges of cells (DARTS)."""

from collections.abc import Mapping
from itertools import islice
from typing import Any

from mmengine.runner import Runner

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.cells import CELLS, NO_EDGE, edges_into
from nasiam_mm.architecture.choice import Choice
from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.config_walk import find_hook, type_name
from nasiam_mm.engine.running import unwrap
from nasiam_mm.search.selection import SELECTIONS, Decisions, Selection, scored_choices

_EDGES = 2  # DARTS'


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

    def __init__(self, edges: int = _EDGES) -> None:
        if type(edges) is not int or edges < 1:
            raise ValueError(f'TopEdges.edges must be a positive integer, got {edges!r}')
        self.edges = edges

    def told(self) -> dict[str, Any]:
        """Settings that the provenance of a genotype holds beside the name."""
        return {'edges': self.edges}

    def check(self, runner: Runner) -> None:
        """Raise ValueError at the start of a run that it cannot choose for."""
        choices = unwrap(runner.model).architecture.choices
        cells = [choice for group in CELLS for choice in choices.get(group, ())]
        if not cells:
            mend = "take TopK, or a backbone ChoiceCells with a space that has 'none'"
            raise ValueError(f'TopEdges chooses edges of cells, and none are searched; {mend}')
        if NO_EDGE not in cells[0].options:
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
            if group in CELLS:
                strength = [row[k] for row, k in zip(weights, best, strict=True)]
                kept = self._strongest(strength)
            for n, (choice, _, decision) in enumerate(rows):
                option = choice.options[best[n]] if n in kept else NO_EDGE
                decisions[choice.name] = Decision(decision.options, (option,), decision.scores)
        return decisions

    def _best(self, group: str, choice: Choice, order: list[int]) -> int:
        some = [k for k in order if group not in CELLS or choice.options[k] != NO_EDGE]
        return (some or order)[0]

    def _strongest(self, strength: list[float]) -> set[int]:
        """Edges to keep, of those into each node."""
        kept: set[int] = set()
        for into in edges_into(len(strength)):
            kept.update(sorted(into, key=lambda n: -strength[n])[: self.edges])
        return kept


def edges_kept(cfg: Mapping) -> int | None:
    """Return how many edges a node keeps of what the search of a config derives.

    None where it decides each edge by itself; DARTS' number where the config is of no search, but
    trains what one found.
    """
    hook = find_hook(cfg, 'GenotypeHook')
    if hook is None:
        return _EDGES
    selection = hook.get('selection') or {}
    return selection.get('edges', _EDGES) if type_name(selection) == TopEdges.__name__ else None
