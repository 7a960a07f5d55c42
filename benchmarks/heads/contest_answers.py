# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What came out of the experiment end to end: arms, their differences, what the plan asked."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import ttest_1samp

from benchmarks.backbones.correlations import holm
from benchmarks.papers.markdown import markdown_table

RANDOM = 'random'  # the mean of all that were drawn
# Against what an arm is held, and how many points the plan hopes for; None: not below it.
ASKED = (('tuned', None), ('standard', None), (RANDOM, 3.0), ('plain', 3.0), ('variant', None))


class Difference(NamedTuple):
    """Two arms, on all data seeds.

    Attributes:
        by_data: Mean difference of each data seed, points.
        p_below: Of each, that the first arm is not below: one-sided paired t-test over seeds, by
            Holm over the data seeds.
        p_apart: Likewise of no difference, two-sided.
        mean: Of ``by_data``.
        over_data: Half of a 95 % interval of it, data seeds drawn (t of their number - 1).
        over_pairs: Likewise, data seeds taken as given (t of all pairs - 1).
    """

    by_data: tuple[float, ...]
    p_below: tuple[float, ...]
    p_apart: tuple[float, ...]
    mean: float
    over_data: float
    over_pairs: float


def scores_of(rows: Sequence[Mapping[str, Any]], of: str = 'knn_test') -> dict[str, np.ndarray]:
    """Return arm -> (data seeds, seeds), those that every arm has; the drawn heads as one arm.

    Raises:
        ValueError: If arms have no seeds in common.
    """
    arms = sorted({row['arm'] for row in rows})
    found = {(row['arm'], row['data_seed'], row['seed']): row[of] for row in rows}
    pairs = sorted({(data, seed) for _, data, seed in found})
    shared = [pair for pair in pairs if all((arm, *pair) in found for arm in arms)]
    datas = sorted({data for data, _ in shared})
    seeds = [
        seed for seed in sorted({s for _, s in shared}) if all((d, seed) in shared for d in datas)
    ]
    if not seeds:
        raise ValueError('no seed was trained for all arms; go on with the contest')
    table = {a: np.array([[found[a, d, s] for s in seeds] for d in datas]) for a in arms}
    drawn = [scores for arm, scores in table.items() if arm.startswith(f'{RANDOM}-')]
    return table | ({RANDOM: np.mean(drawn, axis=0)} if drawn else {})


def compare(one: np.ndarray, other: np.ndarray) -> Difference:
    """Compare two arms, each (data seeds, seeds), paired."""
    apart = one - other
    by_data = apart.mean(1)
    below, differs = (
        holm(np.array([ttest_1samp(row, 0, alternative=side).pvalue for row in apart]))
        for side in ('less', 'two-sided')
    )
    over_data, over_pairs = (
        float(np.ptp(ttest_1samp(x, 0).confidence_interval())) / 2 for x in (by_data, apart.ravel())
    )
    return Difference(
        tuple(map(float, by_data)),
        tuple(map(float, below)),
        tuple(map(float, differs)),
        float(apart.mean()),
        over_data,
        over_pairs,
    )


def contest_answers(
    rows: Sequence[Mapping[str, Any]],
    searches: Sequence[Mapping[str, Any]] = (),
    arm: str = 'checked',
) -> str:
    """Tell the arms, what ``arm`` gains over each other, and what was spent, as Markdown."""
    scores, linear = scores_of(rows), scores_of(rows, 'linear_test')
    lines = []
    for name in sorted(scores, key=lambda name: -scores[name].mean()):
        each = ', '.join(f'{value:.2f}' for value in scores[name].mean(1))
        lines.append([name, f'{scores[name].mean():.2f}', each, f'{linear[name].mean():.2f}'])
    datas, seeds = next(iter(scores.values())).shape
    text = (
        f'{datas} data seeds, {seeds} seeds each; kNN and linear top-1 on test images, percent.\n\n'
    )
    text += markdown_table(['arm', 'kNN', 'by data seed', 'linear'], lines)
    text += '\n\n' + _goals(scores, arm)
    text += '\n\nBy the linear probe, of which no goal was set:\n\n' + _goals(linear, arm, False)
    if told := _drawn(scores):
        text += '\n\n' + told
    if searches:
        spent = [
            [row['arm'], str(row['data_seed']), f'{row["seconds"]:.0f}', row.get('verdict', '')]
            for row in searches
        ]
        head = ['search', 'data seed', 'CPU s', 'verdict, on seeds and images of its own']
        text += '\n\n' + markdown_table(head, spent)
    return text


def _goals(scores: Mapping[str, np.ndarray], arm: str, asked: bool = True) -> str:
    """Tell what ``arm`` gains over each other, and whether that is what the plan asks for."""
    lines = []
    for other, goal in ASKED:
        if other not in scores or arm not in scores:
            continue
        found = compare(scores[arm], scores[other])
        is_below = min(found.p_below) < 0.05
        reached = not is_below if goal is None else found.mean >= goal
        wanted = 'not below in any data seed' if goal is None else f'{goal:g} points or more'
        line = [
            other, f'{found.mean:+.2f}', f'± {found.over_data:.2f}', f'± {found.over_pairs:.2f}',
            ', '.join(f'{d:+.2f}' for d in found.by_data),
            ', '.join(f'{p:.2g}' for p in found.p_below),
            ', '.join(f'{p:.2g}' for p in found.p_apart),
        ]  # fmt: skip
        lines.append([*line, f'{wanted}: {"yes" if reached else "no"}'] if asked else line)
    head = [f'{arm} against', 'points', 'over data seeds', 'over pairs', 'by data seed']
    head += ['p of being below (one-sided, Holm)', 'p of no difference (two-sided, Holm)']
    return markdown_table([*head, 'goal'] if asked else head, lines)


def _drawn(scores: Mapping[str, np.ndarray]) -> str:
    """Tell each arm's gain over the drawn heads with these drawn too; '' for fewer than two."""
    drawn = np.array([of.mean() for arm, of in scores.items() if arm.startswith(f'{RANDOM}-')])
    if len(drawn) < 2:
        return ''
    lines = []
    for arm, of in scores.items():
        if not arm.startswith(RANDOM):
            found = ttest_1samp(of.mean() - drawn, 0)
            half = float(np.ptp(found.confidence_interval())) / 2
            below = f'{int((drawn < of.mean()).sum())} of {len(drawn)}'
            lines.append([arm, f'{of.mean() - drawn.mean():+.2f} ± {half:.2f}', below])
    told = f'The drawn heads reach from {drawn.min():.2f} to {drawn.max():.2f}, their median is '
    told += f'{np.median(drawn):.2f}. Against their mean, 95 % over heads (t):\n\n'
    return told + markdown_table(['arm', 'points', 'drawn heads below it'], lines)
