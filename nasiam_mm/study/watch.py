# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Several workers of a study on one terminal: the lines of each, and below them one bar of all."""

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence

from nasiam_mm.console.screen import Console
from nasiam_mm.console.terms import duration
from nasiam_mm.study.plan import Plan
from nasiam_mm.study.progress import seconds_left, trainings_left
from nasiam_mm.wording import counted

_INTERVAL = 0.3  # seconds between two pictures of the bar, where no worker says anything
_LOOKS = 2.0  # seconds between two looks at where the study stands
_NAMED = 3  # trainings that the bar names

# Where a study stands, and the trainings that run: name, and how far it is, from 0 to 1.
Standing = tuple[Plan, list[tuple[str, float]]]


class Watch:
    """Shows what workers do that are processes, whose lines come through pipes.

    Only this process draws, so that no line of a worker stands in a bar, and no bar in another.

    Args:
        console: Where it is shown.
        look: Says where the study stands.
    """

    def __init__(self, console: Console, look: Callable[[], Standing]) -> None:
        self.console, self._look = console, look
        self._looked = -_LOOKS
        self._drawn: tuple[str, float, str] | None = None

    def follow(self, workers: Sequence[subprocess.Popen]) -> None:
        """Say what workers say, a line at a time, and draw, until all of them have ended."""
        rest: dict[int, bytes] = {}
        with selectors.DefaultSelector() as ready:
            for process in workers:
                assert process.stdout is not None
                ready.register(process.stdout, selectors.EVENT_READ)
            while ready.get_map():
                for key, _ in ready.select(_INTERVAL):
                    data = os.read(key.fd, 2**16)
                    *lines, left = (rest.get(key.fd, b'') + data).split(b'\n')
                    if not data:  # it has ended, perhaps within a line
                        ready.unregister(key.fileobj)
                        lines, left = [*lines, *([left] if left else [])], b''
                    rest[key.fd] = left
                    for line in lines:
                        self.console.say(line.decode(errors='replace').rstrip())
                self.draw()
        for process in workers:
            process.wait()

    def draw(self) -> None:
        """Draw the bar; where the study stands is looked at every now and then."""
        if (now := time.monotonic()) - self._looked >= _LOOKS:
            self._looked = now
            self._drawn = told(*self._look())
        if self._drawn is not None:
            self.console.draw(*self._drawn)


def told(plan: Plan, running: Sequence[tuple[str, float]]) -> tuple[str, float, str]:
    """Return what the bar says: how much is done, its share, what runs and the time left."""
    done, left = trainings_left(plan)
    part = sum(share for _, share in running)
    parts = [f'{name} {share:.0%}' for name, share in running]
    if len(parts) > _NAMED:
        shares = [share for _, share in running]
        parts = [f'{len(parts)} run, {min(shares):.0%} to {max(shares):.0%} done']
    seconds = seconds_left(plan, max(1, len(running)), part)
    if seconds is not None:
        parts.append(f'at most {duration(seconds)} left')
    head = f'{done} of at most {counted(done + left, "training")}'
    return head, min(1.0, (done + part) / max(1, done + left)), ', '.join(parts)
