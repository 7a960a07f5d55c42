# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Replays of all strategies over draws of heads, kept as they are made, and what they say."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.heads.lines import REPLAY, read_lines
from benchmarks.heads.replay import STRATEGIES, Pool, replay
from nasiam_mm.files.atomic import write_text
from nasiam_mm.runs.commands import locked
from nasiam_mm.study.samplers.sampler import Space

BUDGETS = (5, 10, 20)  # whole runs
BASE = 'random'


class Gain(NamedTuple):
    """Of a strategy at a budget: mean test score, its gain over random search, intervals.

    Attributes:
        strategy: Of ``STRATEGIES``.
        budget: Whole runs.
        score: Mean test score, percent.
        gain: Over random search, points.
        low: Of the gain, over draws as they came.
        high: Likewise.
        luck: Share of the draws' variance that is of the replays in a draw, not of its heads.
    """

    strategy: str
    budget: int
    score: float
    gain: float
    low: float
    high: float
    luck: float


def places_of(draw: int, heads: int) -> np.ndarray:
    """Return which heads a draw holds: the distinct ones of as many with replacement."""
    rng = np.random.Generator(np.random.PCG64(draw))
    return np.unique(rng.integers(heads, size=heads))


def replays(
    pool: Pool, space: Space, draws: int, each: int, known: Collection[tuple[str, int]] = ()
) -> Iterator[dict[str, Any]]:
    """Yield, for each strategy and draw, the scores of ``each`` replays, (each, budgets).

    A draw (``places_of``) is the same for all strategies, whose differences are therefore paired.

    Args:
        pool: All heads.
        space: What strategies may propose.
        draws: How many.
        each: Replays on a draw.
        known: Strategies and draws that are there already.
    """
    for draw in range(draws):
        part = pool.of(places_of(draw, len(pool.heads)))
        for strategy in STRATEGIES:
            if (strategy, draw) not in known:
                seeds = [each * draw + n for n in range(each)]
                scores = [replay(part, space, strategy, BUDGETS, seed) for seed in seeds]
                yield {'strategy': strategy, 'draw': draw, 'scores': np.round(scores, 3).tolist()}


def add_replays(
    path: Path, of: Mapping[str, str], pool: Pool, space: Space, draws: int, each: int
) -> Iterator[str]:
    """Make the replays of a table that a file does not hold, and add each as it ends.

    What the file holds of an earlier state of the table, or by another number of replays, is
    taken out, and so is a line that was being written when its process was killed.

    Args:
        path: Lines of JSON.
        of: Framework, scale and digest of the table, which each line names.
        pool: The table.
        space: What strategies may propose.
        draws: How many.
        each: Replays on a draw.

    Yields:
        What was made, in words, draw by draw.

    Raises:
        ValueError: If ``draws`` or ``each`` is less than 1.
        BlockingIOError: If another process adds to a file of this folder.
    """
    for name, count in (('draws', draws), ('each', each)):
        if count < 1:
            raise ValueError(f'--{name} must be 1 or more, got {count}')
    # The file is written anew at first, which would take the lines of another process.
    with locked(path.parent):
        same = {name: of[name] for name in ('framework', 'scale')}
        text = path.read_text(encoding='utf-8') if path.is_file() else ''
        write_text(text[: text.rfind('\n') + 1], path)
        rows = read_lines(path, REPLAY)
        ours = [row for row in rows if of.items() <= row.items() and len(row['scores']) == each]
        others = [row for row in rows if not same.items() <= row.items()]
        write_text(''.join(map(_line, [*others, *ours])), path)
        known = {(row['strategy'], row['draw']) for row in ours}
        with path.open('a', encoding='utf-8') as file:
            for found in replays(pool, space, draws, each, known):
                file.write(_line({**of, **found}))
                file.flush()
                yield f'draw {found["draw"] + 1} of {draws}: {found["strategy"]}'


def read_replays(path: Path, of: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the replays of a table; none where there is no file."""
    rows = read_lines(path, REPLAY) if path.is_file() else []
    return [row for row in rows if of.items() <= row.items()]


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, separators=(',', ':')) + '\n'


def gains(rows: Sequence[Mapping[str, Any]], alpha: float = 0.05) -> list[Gain]:
    """Compare every strategy with random search by the means of draws that both have.

    Intervals are quantiles over draws, of confidence ``1 - alpha`` after Bonferroni's correction
    over strategies. A replay in which nothing had ended yet by a budget counts for no mean of it.
    What replays of one draw differ by, over their number, is the luck that is in a draw's mean.
    """
    scores: dict[str, dict[int, np.ndarray]] = {}
    for row in rows:
        scores.setdefault(row['strategy'], {})[row['draw']] = np.array(row['scores'], float)
    found, others = [], max(1, len(scores) - 1)
    tail = alpha / others / 2
    for strategy, by_draw in scores.items():
        draws = sorted({*by_draw} & {*scores[BASE]})
        own = np.array([np.nanmean(by_draw[draw], 0) for draw in draws])
        gained = own - np.array([np.nanmean(scores[BASE][draw], 0) for draw in draws])
        luck = np.mean([_luck(by_draw[draw] - scores[BASE][draw]) for draw in draws], 0)
        low, high = np.nanquantile(gained, [tail, 1 - tail], axis=0)
        spread = np.nanvar(gained, 0)
        for n, budget in enumerate(BUDGETS):
            share = min(1.0, luck[n] / spread[n]) if spread[n] else 0.0
            mean, gain = np.nanmean(own[:, n]), np.nanmean(gained[:, n])
            told = map(float, (mean, gain, low[n], high[n], share))
            found.append(Gain(strategy, budget, *told))
    return found


def _luck(gained: np.ndarray) -> np.ndarray:
    """Return the variance of the mean over replays, (replays, budgets) -> (budgets,)."""
    count = np.isfinite(gained).sum(0)
    apart = np.nansum((gained - np.nanmean(gained, 0)) ** 2, 0)
    return apart / np.maximum(count - 1, 1) / np.maximum(count, 1)
