# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pruning of a supernet with its weights kept (SSWP-NAS)."""

from collections import Counter
from collections.abc import Callable

from nasiam_mm.architecture.choice import Choice
from nasiam_mm.search.gradient.schedules import SCHEDULES, Schedule, SearchStep, are_numbers


def _is_identity(choice: Choice, position: int) -> bool:
    return position == choice.identity


def _is_pool(choice: Choice, position: int) -> bool:
    return 'pool' in str(choice.options[position])


_LIMITED: dict[str, Callable[[Choice, int], bool]] = {'identity': _is_identity, 'pool': _is_pool}


@SCHEDULES.register_module()
class PruneInOrder(Schedule):
    """Leave each layer its best candidate, one layer after the other, input first.

    The layers are pruned at equal distances from ``start`` to the end, and those that are left go
    on being searched. Weights, momentum and alpha stay as they are, so that what is left at the end
    is the derived network, trained: ``nasiam export`` writes it. What is there to prune is seen in
    the candidates alone, so that a resumed search goes on where it was.

    Args:
        start: Share of the search before the first layer; SSWP-NAS 0.6.
        max_identity: Layers of a group that may be left an identity though there is something else,
            in order; None: all. SSWP-NAS has at most 2 skips and 2 pools.
        max_pool: The same of pools.
    """

    is_alone = True

    def __init__(
        self, start: float = 0.6, max_identity: int | None = None, max_pool: int | None = None
    ) -> None:
        if not are_numbers([start], 0, 1):
            raise ValueError(f'PruneInOrder.start must be from 0 to below 1, got {start!r}')
        self.start, self.limits = start, {'identity': max_identity, 'pool': max_pool}
        for what, limit in self.limits.items():
            if limit is not None and (type(limit) is not int or limit < 0):
                raise ValueError(
                    f'PruneInOrder.max_{what} must be None or from 0 up, got {limit!r}'
                )

    def check(self, step: SearchStep) -> None:
        """Raise ValueError where there is nothing to prune."""
        layers = [sum(c.present) for rows in step.architecture.choices.values() for c in rows]
        if max(layers) < 2:
            raise ValueError('PruneInOrder prunes nothing: no layer has two candidates')

    def apply(self, step: SearchStep) -> None:
        """Prune the layers that are due, if they are not."""
        owner = step.architecture
        layers = [(group, n) for group, rows in owner.choices.items() for n in range(len(rows))]
        if step.progress < self.start:
            return
        share = (step.progress - self.start) / (1 - self.start)
        # One more than those whose time is over: the first goes at the start.
        due = layers[: int(share * len(layers) + 1e-9) + 1]
        taken: Counter = Counter()
        for group, n in due:
            choice, present = owner.choices[group][n], owner.present(group)[n].cpu()
            alpha = owner.alpha(group)[n].detach().cpu().masked_fill(~present, float('-inf'))
            order = alpha.argsort(descending=True, stable=True)[: int(present.sum())].tolist()
            allowed = [k for k in order if not self._is_full(choice, k, group, taken)]
            best = (allowed or order)[0]
            taken.update((group, what) for what, test in _LIMITED.items() if test(choice, best))
            if len(order) > 1:
                owner.drop(group, n, [k for k in order if k != best])
                step.runner.logger.info(f'pruned {choice.name} to {choice.options[best]}')

    def _is_full(self, choice: Choice, position: int, group: str, taken: Counter) -> bool:
        return any(
            limit is not None and _LIMITED[what](choice, position) and taken[group, what] >= limit
            for what, limit in self.limits.items()
        )
