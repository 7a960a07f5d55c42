# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Replays of all strategies over draws of heads, kept as they are made, and what they say."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.heads.replay import STRATEGIES, Pool, replay
from nasiam_mm.study.samplers.sampler import Space

BUDGETS = (5, 10, 20)  # whole runs
BASE = 'random'


class Gain(NamedTuple):
    """Of a strategy at a budget: mean test score, its gain over random search, interval."""

    strategy: str
    budget: int
    score: float
    gain: float
    low: float
    high: float


def replays(
    pool: Pool, space: Space, draws: int, each: int, known: Sequence[tuple[str, int]] = ()
) -> Iterator[dict[str, Any]]:
    """Yield, for each strategy and draw, the scores of ``each`` replays, (each, budgets).

    A draw takes heads with replacement, of which the distinct ones are the pool; it is the same for
    all strategies, whose differences are therefore paired.

    Args:
        pool: All heads.
        space: What strategies may propose.
        draws: How many.
        each: Replays on a draw.
        known: Strategies and draws that are there already.
    """
    count = len(pool.heads)
    for draw in range(draws):
        rng = np.random.Generator(np.random.PCG64(draw))
        part = pool.of(np.unique(rng.integers(count, size=count)))
        for strategy in STRATEGIES:
            if (strategy, draw) not in known:
                seeds = [each * draw + n for n in range(each)]
                scores = [replay(part, space, strategy, BUDGETS, seed) for seed in seeds]
                yield {'strategy': strategy, 'draw': draw, 'scores': np.round(scores, 3).tolist()}


def add_replays(
    path: Path, of: Mapping[str, str], pool: Pool, space: Space, draws: int, each: int
) -> None:
    """Make the replays of a table that a file does not hold, and add each as it ends.

    Args:
        path: Lines of JSON.
        of: Framework and scale of the table, which each line names.
    """
    known = [(row['strategy'], row['draw']) for row in read_replays(path, of)]
    with path.open('a', encoding='utf-8') as file:
        for found in replays(pool, space, draws, each, known):
            file.write(json.dumps({**of, **found}, separators=(',', ':')) + '\n')
            file.flush()


def read_replays(path: Path, of: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the replays of a table; none where there is no file."""
    lines = path.read_text(encoding='utf-8').splitlines() if path.is_file() else []
    rows = [json.loads(line) for line in lines]
    return [row for row in rows if of.items() <= row.items()]


def gains(rows: Sequence[Mapping[str, Any]], alpha: float = 0.05) -> list[Gain]:
    """Compare every strategy with random search by the means of draws that both have.

    Intervals are quantiles over draws, of confidence ``1 - alpha`` after Bonferroni's correction
    over strategies. A replay in which nothing had ended yet by a budget counts for no mean of it.
    """
    means: dict[str, dict[int, np.ndarray]] = {}
    for row in rows:
        scores = np.array(row['scores'], float)
        means.setdefault(row['strategy'], {})[row['draw']] = np.nanmean(scores, 0)
    found, others = [], max(1, len(means) - 1)
    for strategy, by_draw in means.items():
        draws = sorted({*by_draw} & {*means[BASE]})
        own = np.array([by_draw[draw] for draw in draws])
        base = np.array([means[BASE][draw] for draw in draws])
        tail = alpha / others / 2
        low, high = np.nanquantile(own - base, [tail, 1 - tail], axis=0)
        for n, budget in enumerate(BUDGETS):
            mean, gain = np.nanmean(own[:, n]), np.nanmean((own - base)[:, n])
            found.append(Gain(strategy, budget, float(mean), float(gain), low[n], high[n]))
    return found
