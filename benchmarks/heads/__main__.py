# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make a table of heads: train each with several seeds, and collect the rows.

    python -m benchmarks.heads make --framework simclr --scale narrow --seeds 0 1 2
    python -m benchmarks.heads make --scale small --heads gate --seeds 0 1 2
    python -m benchmarks.heads make --heads gdas darts_pt --seeds 0 1 2
    python -m benchmarks.heads rows --out docs/results/heads/rows.jsonl
    python -m benchmarks.heads replay --framework simclr --scale narrow
    python -m benchmarks.heads answer --rows docs/results/heads/rows.jsonl
    python -m benchmarks.heads contest --variant gdas --sampler TPE --data-seeds 0 1 2

Heads are 'drawn' (96 that balance the space of benchmarks/heads/recipes, and the standard one),
'gate' (eleven, six of them trained at 32 pixels before), 'searched' (by every strategy of
configs/search) or one such strategy, with the seed of the run, or names and files of genotypes.
What is made is not made again, neither what has a row in --rows, but for --again, nor in several
processes at once; what was interrupted goes on.
"""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.command import run_module

if TYPE_CHECKING:
    from nasiam_mm.runs.store import RunStore

ROWS, REPLAYS = Path('docs/results/heads/rows.jsonl'), 'replays.jsonl'
# Rows of the experiment end to end, and what its searches spent and said.
CONTEST, SEARCHES = 'contest.jsonl', 'contest_searches.jsonl'


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    actions = parser.add_subparsers(dest='action', required=True, metavar='ACTION')
    make = actions.add_parser('make', help='train what is missing')
    rows = actions.add_parser('rows', help='collect the rows of what is trained')
    answer = actions.add_parser('answer', help='answer the questions from the rows alone')
    replay = actions.add_parser('replay', help='replay the strategies of studies on the rows')
    contest = actions.add_parser('contest', help='the experiment end to end, see its plan')
    for action in (make, replay, contest):
        action.add_argument('--framework', default='simclr', help='simclr, simsiam or byol')
    for action in (make, replay):
        action.add_argument('--scale', default='narrow', help='of benchmarks/heads/scales.py')
    replay.add_argument('--draws', type=int, default=100, help='of heads, with replacement')
    replay.add_argument('--each', type=int, default=10, help='replays on a draw')
    make.add_argument('--heads', nargs='+', default=['drawn'], help='see above')
    make.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    make.add_argument('--again', action='store_true', help='also what has a row')
    rows.add_argument('--out', type=Path, default=ROWS)
    contest.add_argument('--variant', required=True, help='a strategy of configs/search')
    contest.add_argument('--sampler', required=True, help='of the checked search')
    contest.add_argument('--data-seeds', type=int, nargs='+', default=[0, 1, 2])
    contest.add_argument('--arms', nargs='+', help='all by default')
    for action in (make, answer, replay, contest):
        action.add_argument('--rows', type=Path, default=ROWS)
    answer.add_argument('--out', type=Path, help="folder of answers; the rows' own by default")
    for action in (make, rows, contest):
        action.add_argument('--work-dir', type=Path, default=Path('work_dirs/heads'))


def run(args: Namespace) -> None:
    """Train, collect, or answer."""
    {
        'make': _make, 'rows': _collect, 'replay': _replay, 'answer': _answer, 'contest': _contest,
    }[args.action](args)  # fmt: skip


def _make(args: Namespace) -> None:
    import nasiam_mm.engine  # noqa: F401, imported once for all runs
    from benchmarks.heads.jobs import FRAMEWORKS, check_jobs, check_known, config, jobs
    from benchmarks.heads.lines import ROW, read_lines
    from benchmarks.heads.rows import has_row, keyed
    from benchmarks.heads.searched import STRATEGIES, searched_head
    from nasiam_mm.datasets.resolve import resolve_data
    from nasiam_mm.files.atomic import write_json
    from nasiam_mm.runs.store import RunFailed

    check_known('framework', args.framework, FRAMEWORKS)
    heads = list(dict.fromkeys(_heads(args.framework, args.heads)))
    check_jobs(args.framework, args.scale, heads, args.seeds)
    trainings, searches = (_store(args.work_dir, command) for command in ('train', 'search'))
    is_read = not args.again and (args.rows != ROWS or ROWS.is_file())
    known = keyed(read_lines(args.rows, ROW)) if is_read else {}
    every = list(jobs(args.framework, args.scale, heads, args.seeds))
    todo = [job for job in every if not has_row(job, known)]
    if len(todo) < len(every):
        told = f'{len(every) - len(todo)} of {len(every)} runs have a row in {args.rows}'
        print(f'{told}; --again makes them too', flush=True)
    failed = 0
    for number, job in enumerate(todo, 1):
        try:
            if number == 1 and job.head not in STRATEGIES:
                resolve_data(config(job, args.work_dir))  # without images no run is begun
            if job.head in STRATEGIES:
                name, found = f'{job.head}-{job.seed}', args.work_dir / 'searched'
                file = searched_head(searches, found, job.framework, job.scale, name)
                trained = replace(job, head=str(file))
            else:
                trained = job
            cfg = config(trained, args.work_dir)
            folder = trainings.of(str(trained), cfg)
            write_json(vars(trained), args.work_dir / 'jobs' / f'{folder.name}.json')
            if trainings.row(folder) is not None:
                continue
            row = trainings.make(folder, cfg)
        except BlockingIOError:
            continue  # another process is at it
        except RunFailed as error:
            print(f'{job} seed {job.seed}: {error}', file=sys.stderr)
            failed += 1
            continue
        for checkpoint in (folder / 'train').glob('*.pth'):
            checkpoint.unlink()
        knn = row['curves']['knn/test_top1'][row['epochs']]
        told = f'kNN {knn:.2f}, {row["process_seconds"]:.0f} s of CPU'
        print(f'{number}/{len(todo)} {job} seed {job.seed}: {told}', flush=True)
    _end(failed)


def _contest(args: Namespace) -> None:
    import nasiam_mm.engine  # noqa: F401, imported once for all runs
    from benchmarks.heads.contest import ARMS, SEEDS, Contest, check_contest, searches_of
    from benchmarks.heads.contest_answers import contest_answers
    from benchmarks.heads.lines import SEARCH, VERIFIED, read_lines
    from benchmarks.heads.rows import write_contest, write_searches
    from nasiam_mm.files.atomic import write_json
    from nasiam_mm.runs.store import RunFailed

    arms, failed = args.arms or ARMS, 0
    check_contest(args.framework, arms, args.data_seeds, args.variant, args.sampler)
    folder, out = args.work_dir / 'contest', args.rows.with_name(CONTEST)
    store = _store(folder, 'train')
    for data_seed in args.data_seeds:
        own = Contest(args.framework, data_seed, folder, store, args.variant, args.sampler)
        for seed in SEEDS:
            for arm in arms:
                try:
                    row = own.verify(arm, seed)
                except BlockingIOError:
                    continue  # another process is at it
                except RunFailed as error:
                    print(f'{arm}, data {data_seed}, seed {seed}: {error}', file=sys.stderr)
                    failed += 1
                    continue
                name = f'{args.framework}-data{data_seed}-{arm}-{seed}.json'
                write_json(row, folder / 'rows' / name)
                told = f'kNN {row["knn_test"]:.2f}, {row["seconds"]:.0f} s of CPU'
                print(f'data {data_seed}, {arm}, seed {seed}: {told}', flush=True)
    made = [
        json.loads(file.read_text(encoding='utf-8'))
        for file in sorted((folder / 'rows').glob('*.json'))
    ]
    rows = [*(read_lines(out, VERIFIED) if out.is_file() else ()), *made]
    spent = out.with_name(SEARCHES)
    searches = [*(read_lines(spent, SEARCH) if spent.is_file() else ()), *searches_of(folder)]
    for found, write, file in ((rows, write_contest, out), (searches, write_searches, spent)):
        if found:
            write(found, file)
    told = [[of for of in part if of['framework'] == args.framework] for part in (rows, searches)]
    if not failed:
        print(contest_answers(*told))
    _end(failed)


def _end(failed: int) -> None:
    """End with status 1 where runs have failed, which have said why."""
    if failed:
        print(f'{failed} runs failed; the same command goes on', file=sys.stderr)
        sys.exit(1)


def _store(folder: Path, command: str) -> 'RunStore':
    """Return the runs of a folder, made by a command in forks of this process."""
    from benchmarks.heads.warm import run_forked
    from nasiam_mm.runs.store import RunStore

    one = {'OMP_NUM_THREADS': '1'}
    return RunStore(folder / 'runs', (command,), ('search',), variables=one, launch=run_forked)


def _heads(framework: str, named: Sequence[str]) -> Iterator[str]:
    from benchmarks.heads.jobs import drawn_heads, gate_heads
    from benchmarks.heads.searched import STRATEGIES

    groups = {'drawn': drawn_heads, 'gate': gate_heads, 'searched': lambda _: STRATEGIES}
    for name in named:
        yield from groups[name](framework) if name in groups else [name]


def _collect(args: Namespace) -> None:
    from benchmarks.heads.lines import ROW, read_lines
    from benchmarks.heads.rows import collect, merged, replaced, write_rows

    if not args.work_dir.is_dir():
        raise FileNotFoundError(f'{args.work_dir} does not exist; make runs first')
    before = read_lines(args.out, ROW) if args.out.is_file() else []
    made = list(collect(args.work_dir))
    for framework, scale, head, seed in replaced(made, before):
        print(f'{framework} {scale} {head} seed {seed}: replaced, as config or CPU is another')
    count = write_rows(merged(made, before), args.out)
    print(f'{args.out}: {count} rows')


def _replay(args: Namespace) -> None:
    import optuna

    from benchmarks.heads.jobs import FRAMEWORKS, check_known, choices, drawn_heads
    from benchmarks.heads.lines import ROW, read_lines
    from benchmarks.heads.replay import pool_of
    from benchmarks.heads.replays import add_replays
    from benchmarks.heads.table import table_of
    from nasiam_mm.study.heads import distributions

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    check_known('framework', args.framework, FRAMEWORKS)
    table = table_of(read_lines(args.rows, ROW), args.framework, args.scale)
    pool = pool_of(table, drawn_heads(args.framework))
    space = distributions(choices(args.framework))
    of = {'framework': args.framework, 'scale': args.scale, 'table': pool.digest}
    path = args.rows.with_name(REPLAYS)
    try:
        for told in add_replays(path, of, pool, space, args.draws, args.each):
            print(told, flush=True)
    except BlockingIOError:
        raise ValueError(f'another process adds to {path}; begin when it has ended') from None
    print(f'{path}: all are made')


def _answer(args: Namespace) -> None:
    from benchmarks import ROOT
    from benchmarks.heads.answers import answers
    from benchmarks.heads.lines import ROW, SEARCH, VERIFIED, read_lines
    from benchmarks.heads.picture import draw_effects
    from nasiam_mm.files.atomic import write_text

    out = args.out or args.rows.parent
    if not (found := read_lines(args.rows, ROW)):
        raise ValueError(f'{args.rows} holds no rows; make some first')
    if out.exists() and not out.is_dir():
        raise ValueError(f'{out} is a file; --out is the folder of the answers')
    replays = args.rows.with_name(REPLAYS)
    contest, searches = (
        read_lines(file, holds) if (file := args.rows.with_name(name)).is_file() else []
        for name, holds in ((CONTEST, VERIFIED), (SEARCHES, SEARCH))
    )
    text, effects = answers(found, ROOT / 'docs/results/heads_demo', replays, contest, searches)
    write_text(
        f'# Answers\n\nBy `python -m benchmarks.heads answer`.\n\n{text}', out / 'answers.md'
    )
    if effects:
        draw_effects(effects, out / 'effects.png')
    else:
        (out / 'effects.png').unlink(missing_ok=True)
    print(text)


if __name__ == '__main__':
    run_module('benchmarks.heads', __doc__, add_arguments, run)
