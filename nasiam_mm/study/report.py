# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a study leaves in its folder: ``verdict.json``, ``table.md``, ``report.html``, and more."""

from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import Any

from nasiam_mm.architecture.genotype import save_genotype
from nasiam_mm.datasets.source import read_source
from nasiam_mm.files.atomic import write_json, write_text
from nasiam_mm.report.page.write import write_at_end
from nasiam_mm.report.pictures.score_cost import plot_score_cost
from nasiam_mm.runs.record import environment
from nasiam_mm.study.fidelity import fidelity
from nasiam_mm.study.heads import told_head
from nasiam_mm.study.plan import Plan, candidates
from nasiam_mm.study.rows import Check, Training
from nasiam_mm.study.trainings import STANDARD, Trainings
from nasiam_mm.study.verdict import Verdict
from nasiam_mm.wording import counted

VERDICT, TABLE, GENOTYPE, PICTURE = 'verdict.json', 'table.md', 'genotype.json', 'scores.png'


def write_report(folder: Path, plan: Plan, trainings: Trainings, command: str = '') -> str:
    """Write what came out of a study by a command at its end; return it as lines for a user."""
    verdict = plan.verdict() if plan.current.heads and plan.study.verify else None
    answer = _answer(plan, verdict)
    report = {
        'answer': answer,
        'sentence': _sentence(plan, verdict),
        'budget': _budget(trainings),
        'command': command or None,
        'head': _head(plan, verdict, trainings),
        'heads': {key: told_head(o, trainings.choices) for key, o in plan.current.heads.items()},
        'dataset': _dataset(trainings),
        'objective': _objective(trainings),
        'unit': trainings.unit,
        'scores': _scored(plan),
        'verdict': verdict and verdict.as_dict(),
        'test': _test(plan),
        'fidelity': fidelity(plan.trials, plan.checks).told if plan.study.cheap else None,
        'refused': refused(plan),
        'trials': len(plan.done),
        'scored': [
            {'head': t.key, 'source': source, 'score': t.score, 'seconds': round(t.seconds, 1)}
            for source, t in _searched(plan)
        ],
        'trainings': len(_finished(plan)),
        'seconds': round(sum(row.seconds for row in (*plan.trials, *plan.checks)), 1),
        'notes': [*trainings.notes, *_untested(plan)],
        **environment('optuna'),
    }
    write_json(report, folder / VERDICT)
    table = render_table(plan, trainings, report)
    write_text(table, folder / TABLE)
    key = verdict.head if verdict and verdict.answer == 'use' else None
    genotype = folder / GENOTYPE
    options = plan.current.heads[key] if key else trainings.standard
    if options is None:
        genotype.unlink(missing_ok=True)
    else:
        save_genotype(trainings.genotype(options, 'study' if key else 'standard'), genotype)
    _draw(plan, _objective(trainings), folder / PICTURE)
    told = write_at_end(folder)
    return '\n'.join([table, report['sentence'], told, f'everything lies in {folder}'])


def _answer(plan: Plan, verdict: Verdict | None) -> str:
    if verdict is not None:
        return verdict.answer
    return 'keep' if not plan.current.heads else 'undecided'


def _sentence(plan: Plan, verdict: Verdict | None) -> str:
    if verdict is not None:
        return verdict.sentence
    if not plan.current.heads:
        return 'keep the standard head: no other head that was tried is within limits and healthy'
    return 'undecided: nothing was compared, as study.verify is 0'


def _budget(trainings: Trainings) -> dict[str, Any]:
    """Say for which budget the answer holds."""
    cfg = trainings.recipe
    return {
        'recipe': Path(str(cfg.filename)).name,
        'epochs': cfg.train_cfg.max_epochs,
        'batch': cfg.train_dataloader.batch_size,
        'data': (cfg.get('data') or {}).get('root'),
        'images of the comparison': trainings.check_images or 'those that chose the head',
        'measure': _measure(trainings),
    }


def _dataset(trainings: Trainings) -> str | None:
    """Name the data set, as its folder does."""
    root = (trainings.recipe.get('data') or {}).get('root')
    try:
        return read_source(root).name if root else None
    except (OSError, ValueError):
        return None


def _objective(trainings: Trainings) -> str:
    """Name what trials are ranked by, with its unit."""
    if trainings.objective is None:
        return 'kNN top-1, %'
    return f'{trainings.objective.name}, as a score: more is better'


def _measure(trainings: Trainings) -> str:
    """Say by what heads are compared."""
    if not trainings.is_labelled and trainings.objective is not None:
        return trainings.objective.name
    probe = trainings.recipe.probe
    return f'kNN, k {probe.get("k", 200)}, T {probe.get("temperature", 0.1)}'


def _scored(plan: Plan) -> dict[str, dict[str, Any]]:
    """Return what heads scored, mean and number of seeds: in the search, and in the comparison.

    Of the comparison the seeds count that the difference is of, on which no head collapsed.
    """
    standard, others = plan.arms()
    lost = {seed for arm in (standard, *others) for seed in arm.collapsed}
    found = {}
    for arm in (standard, *others):
        of: dict[str, list[float | None]] = {
            'search': [training.score for training in _trainings_of(plan, arm.name)[0]],
            'compared': [score for seed, score in arm.scores.items() if seed not in lost],
        }
        found[arm.name] = {
            when: {'mean': fmean(known), 'seeds': len(known)}
            for when, scores in of.items()
            if (known := [x for x in scores if x is not None and isfinite(x)])
        }
    return found


def _trainings_of(plan: Plan, key: str) -> tuple[list[Training], list[Training]]:
    """Return the trainings of a head in the search, and in the comparison."""
    of: list[Training] = [t for t in plan.trials if t.key == key and t.score is not None]
    of += [c for c in plan.checks if (c.phase, c.key) == ('reference', key)]
    return of, [c for c in plan.checks if (c.phase, c.key) == ('verify', key)]


def _searched(plan: Plan) -> list[tuple[str, Training]]:
    """Return the trainings that have a score of the objective, by what proposed them."""
    rows: list[tuple[str, Training]] = [
        (STANDARD, c) for c in plan.checks if c.phase == 'reference'
    ]
    rows += [(t.source, t) for t in plan.trials]
    return [(source, row) for source, row in rows if row.score is not None and row.seconds]


def _head(plan: Plan, verdict: Verdict | None, trainings: Trainings) -> str:
    if verdict is None or verdict.answer != 'use':
        return STANDARD
    return told_head(plan.current.heads[verdict.head or ''], trainings.choices)


def _test(plan: Plan) -> dict[str, Any]:
    """Test figures by head: same seeds, new images; they decide nothing."""
    rows: dict[str, list[float]] = {}
    for check in plan.checks:
        if check.phase == 'test' and check.score is not None:
            rows.setdefault(check.key, []).append(check.score)
    return {key: {'mean': fmean(scores), 'seeds': len(scores)} for key, scores in rows.items()}


def _untested(plan: Plan) -> list[str]:
    """Say why test images were not read."""
    faults = [check.fault for check in plan.checks if check.phase == 'test' and check.fault]
    return [fault.removeprefix('failed: ') for fault in faults[:1]]


def refused(plan: Plan) -> list[dict[str, str]]:
    """Name the heads that are no candidates, and why."""
    rows: dict[str, str] = {}
    for training in (*plan.trials, *plan.checks):
        is_test = isinstance(training, Check) and training.phase == 'test'
        if training.fault and not is_test:
            rows.setdefault(training.key, training.fault)
    return [{'head': key, 'why': why} for key, why in rows.items()]


def _finished(plan: Plan) -> list[Training]:
    rows: list[Training] = [
        *plan.done,
        *(c for c in plan.checks if c.state == 'complete' and c.phase != 'test'),
    ]
    return [row for row in rows if row.seconds]


def render_table(plan: Plan, trainings: Trainings, report: dict[str, Any]) -> str:
    """Lay out the heads of the comparison and the best of the search as Markdown."""
    lines = ['| head | search | compared | difference | interval | test | seconds |']
    lines.append('|---|---|---|---|---|---|---|')
    compared = {row['name']: row for row in (report['verdict'] or {}).get('compared', ())}
    ranked = {head.key: head for head in candidates(plan.trials, plan.checks, plan.study)}
    others = [key for key in ranked if key not in plan.current.heads][:3]
    for key in (STANDARD, *plan.current.heads, *others):
        of, own = _trainings_of(plan, key)
        row, test = compared.get(key, {}), report['test'].get(key)
        interval = row.get('interval')
        cells = [
            STANDARD if key == STANDARD else f'{key}: {_options(plan, key, trainings)}',
            _scores([t.score for t in of]),
            _scores([c.score for c in own]),
            f'{row["mean"]:+.2f}' if row.get('mean') is not None else '',
            f'[{interval[0]:.2f}, {interval[1]:.2f}]' if interval and None not in interval else '',
            f'{test["mean"]:.2f} ({test["seeds"]})' if test else '',
            f'{sum(x.seconds for x in (*of, *own)):.0f}',
        ]
        lines.append(f'| {" | ".join(cells)} |')
    budget = report['budget']
    compared_by = 'Top-1 of kNN in percent' if trainings.is_labelled else budget['measure']
    lines.append('')
    lines.append(
        f'{compared_by}, mean (seeds); search by the objective. It holds for '
        f'{budget["recipe"]}, {counted(budget["epochs"], "epoch")}, on {budget["data"]}.'
    )
    lines.append('')
    for line in (report['fidelity'], *report['notes']):
        if line:
            lines.append(f'- {line}')
    lines += [f'- refused: {row["head"]}, {row["why"]}' for row in report['refused']]
    return '\n'.join(lines) + '\n'


def _options(plan: Plan, key: str, trainings: Trainings) -> str:
    if key in plan.current.heads:
        return told_head(plan.current.heads[key], trainings.choices)
    return told_head(next(t.options for t in plan.trials if t.key == key), trainings.choices)


def _scores(scores: list[float | None]) -> str:
    known = [score for score in scores if score is not None]
    return f'{fmean(known):.2f} ({len(known)})' if known else ''


def _draw(plan: Plan, objective: str, path: Path) -> None:
    rows = [(source, row.seconds, float(row.score or 0)) for source, row in _searched(plan)]
    if rows:
        standard = _scored(plan)[STANDARD].get('search')
        plot_score_cost(rows, path, objective, standard and standard['mean'])
