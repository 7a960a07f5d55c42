# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Progress over several steps whose times are in a known proportion."""

import re
import time
from collections.abc import Mapping

from nasiam_mm.console.screen import Console
from nasiam_mm.console.terms import duration

_EPOCH = re.compile(r'^epoch (\d+)/(\d+):', re.MULTILINE)
_SURE = 0.02  # share of all from which on the time left is estimated


class Steps:
    """Says which step is at work, how far it is, and about how long it and the rest take.

    Args:
        console: Where it is said.
        shares: Step -> about how much of the time it takes, in any unit, in the order of the steps.
    """

    def __init__(self, console: Console, shares: Mapping[str, float]) -> None:
        self.console, self.shares = console, dict(shares)
        self.done: dict[str, float] = {}  # step -> seconds it took here, 0 where it was done before
        self.at, self.began = '', 0.0

    def begin(self, step: str) -> None:
        """Say that a step begins."""
        self.at, self.began = step, time.monotonic()
        self.console.say(f'{self._number}/{len(self.shares)} {step}')
        self.move(0.0)

    def move(self, share: float) -> None:
        """Show how far the step is, from 0 to 1."""
        spent = time.monotonic() - self.began
        told = []
        if share > 0:
            told = [f'left {duration(spent / share - spent)} of this step']
        if (left := self.left(share)) is not None:
            told.append(f'{duration(left)} of all' if told else f'left {duration(left)} of all')
        whole = sum(self.shares[step] for step in self.done) + share * self.shares[self.at]
        head = f'{self._number}/{len(self.shares)} {self.at}'
        self.console.draw(head, whole / sum(self.shares.values()), ', '.join(told))

    def end(self, is_new: bool = True) -> None:
        """Say that the step is done; ``is_new`` unless an earlier run had done it."""
        seconds = time.monotonic() - self.began if is_new else 0.0
        self.done[self.at] = seconds
        left = self.left(0.0)
        more = '' if left is None or len(self.done) == len(self.shares) else (
            f', about {duration(left)} left'
        )  # fmt: skip
        self.console.say(f'  done in {duration(seconds)}{more}' if is_new else '  done already')

    def left(self, share: float) -> float | None:
        """Return about how many seconds are left of all; None before there is anything to go by."""
        ran = {step: seconds for step, seconds in self.done.items() if seconds}
        spent, units = sum(ran.values()), sum(self.shares[step] for step in ran)
        rest = sum(share for step, share in self.shares.items() if step not in self.done)
        if share and self.at not in self.done:
            spent += time.monotonic() - self.began
            units += share * self.shares[self.at]
            rest -= share * self.shares[self.at]
        if units < _SURE * sum(self.shares.values()):
            return None
        return spent / units * rest

    @property
    def _number(self) -> int:
        return list(self.shares).index(self.at) + 1


def share_of_epochs(console: str) -> float:
    """Return how far the run is that wrote these lines, by the last epoch they tell of."""
    found = _EPOCH.findall(console)
    return int(found[-1][0]) / int(found[-1][1]) if found else 0.0
