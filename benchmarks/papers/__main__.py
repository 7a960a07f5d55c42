# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make a table of the papers, or of heads against chance: train, measure, render.

    python -m benchmarks.papers heads --scale demo --seeds 0 1 2

Each row is trained with every seed by tools/train.py, searches first, and measured on the test
images with settings selected on validation images; 'detection' trains a detector on each, and
'fig4' draws what searches find. What is measured is not made again; what was
interrupted goes on where it stood, also in several processes at once. --dry-run lists the runs.
With --seconds it saves and stops in time, with status 75 (repeat the command to go on).
benchmarks/papers/catalogue.py shows a table of your own, for --file.

    work_dir/runs/RUN/       config, genotype, checkpoints, log.jsonl, row.json of each run
    work_dir/TABLE_SCALE.md  the table, of what is measured so far; curves and drawings beside it
"""

import shlex
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from benchmarks import ROOT
from benchmarks.command import EX_TEMPFAIL, run_module


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('table', help='which; a wrong name lists them')
    add_source_argument(parser)
    parser.add_argument('--scale', choices=['demo', 'paper'], default='demo')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--rows', nargs='+', metavar='PATTERN', help="rows to make: 'SimCLR*'")
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmarks'))
    parser.add_argument('--dry-run', action='store_true', help='list the runs and make none')
    parser.add_argument('--render', action='store_true', help='render what is there, make none')
    parser.add_argument(
        '--export', type=Path, help='folder for table, rows, genotypes and logs, to be committed'
    )
    parser.add_argument('--seconds', type=float, help='save and stop when these are over')
    add_budget_arguments(parser)


def add_source_argument(parser: ArgumentParser) -> None:
    """Let a command make a table that is not shipped."""
    parser.add_argument(
        '--file', metavar='FILE.py', help='where your table is; a module name will do as well'
    )


def add_budget_arguments(parser: ArgumentParser) -> None:
    """Declare what changes every recipe of a table."""
    parser.add_argument('--epochs', type=int, help="of pretraining, for the recipes' own")
    parser.add_argument('--search-epochs', type=int, help="of a search, for the recipes' own")
    parser.add_argument('--fast', action='store_true', help='train in bfloat16 autocast')


def run(args: Namespace) -> None:
    """Plan, make, render."""
    begin = time.monotonic()
    # A queue's SIGTERM must reach the training, which then saves what it has.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    from benchmarks.papers.budget import Budget, reschedule
    from benchmarks.papers.catalogue import find_table, import_tables, select_rows
    from benchmarks.papers.execution import TimeUp, Workshop
    from benchmarks.papers.planning import all_jobs, plan_table
    from benchmarks.papers.publishing import make_runs, publish

    if args.file is not None:
        import_tables(args.file)
    budget = Budget(args.epochs, args.search_epochs, args.fast)
    table = reschedule(find_table(args.table, args.scale), budget)
    plan = plan_table(table, args.seeds, ROOT)
    deadline = None if args.seconds is None else begin + args.seconds
    workshop = Workshop(ROOT, args.work_dir.resolve() / 'runs', deadline)
    wanted = all_jobs(select_rows(table, plan, args.rows))
    if args.dry_run:
        for job in wanted:
            rows = [
                name
                for name, runs in plan.items()
                if job.digest in {run.digest for run in runs.values()}
            ]
            print(f'{workshop.state(job, table):<10}{job.name:<84}{", ".join(rows) or "-"}')
        print(f'{len(wanted)} runs')
        return
    failed, is_cut = [], False
    try:
        failed = [] if args.render else make_runs(wanted, table, workshop)
    except TimeUp as error:
        is_cut = True
        print(f'time is up: {error}; repeat the command to go on', flush=True)
    words = ['python', '-m', 'benchmarks.papers', args.table, '--scale', args.scale]
    words += ['--file', args.file] if args.file else []
    command = shlex.join([*words, '--seeds', *map(str, args.seeds), *budget.flags])
    target = args.work_dir / f'{args.table}_{args.scale}{budget.suffix}.md'
    publish(table, plan, workshop, args.seeds, command, target)
    print(target.read_text(encoding='utf-8'))
    if args.export is not None:
        exported = args.export / target.name
        publish(table, plan, workshop, args.seeds, command, exported, with_evidence=True)
        print(f'exported to {exported}')
    if failed:
        print(f'error: {len(failed)} runs failed: {"; ".join(failed)}', file=sys.stderr)
        sys.exit(2)
    if is_cut:
        sys.exit(EX_TEMPFAIL)


if __name__ == '__main__':
    run_module('benchmarks.papers', __doc__, add_arguments, run)
