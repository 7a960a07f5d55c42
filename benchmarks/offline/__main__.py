# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make the tables on a machine without a network; docs/runbook.md has the commands in order.

    here:   python -m benchmarks.offline pack --out pack --python 3.12
    there:  python3 pack/set_up.py --into FOLDER
            python -m benchmarks.offline run --plan cifar10 --work-dir FOLDER/work --seconds 540
            python -m benchmarks.offline collect --plan cifar10 --work-dir FOLDER/work --out FILE
    here:   python -m benchmarks.offline import FILE --into docs/results/cifar10

run ends with status 0 when all is measured, 75 when the time was over first (the same command goes
on), 2 when a run failed. A plan is benchmarks/offline/shipped/NAME.json, or a file of yours.
"""

import signal
import subprocess
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path

from benchmarks import ROOT
from benchmarks.command import EX_TEMPFAIL, run_module
from benchmarks.papers.__main__ import add_budget_arguments, add_source_argument


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    commands = parser.add_subparsers(dest='action', required=True)

    pack = commands.add_parser('pack', help='pack code, data and wheels into parts')
    pack.add_argument('--out', type=Path, required=True, help='folder of the parts')
    pack.add_argument('--python', required=True, help="the machine's Python: 3.12")
    pack.add_argument('--platform', nargs='+', help='tags that it takes; default: Linux on x86-64')
    pack.add_argument('--have', type=Path, help='file of names of what is installed there')
    pack.add_argument('--data', type=Path, default=ROOT / 'data/cifar10')
    pack.add_argument('--part-mib', type=float, default=60, help='largest part (60)')
    pack.add_argument('--dirty', action='store_true', help='pack changes of tracked files too')

    run = commands.add_parser('run', help='make the runs of a plan, or of rows')
    _add_work(run)
    run.add_argument('--seconds', type=float, help='save and stop when these are over')
    run.add_argument('--dry-run', action='store_true', help='list the runs and make none')

    collect = commands.add_parser('collect', help='collect the evidence in one small archive')
    _add_work(collect)
    collect.add_argument('--out', type=Path, required=True, help='archive, .tar.gz')
    collect.add_argument('--limit-mib', type=float, default=5, help='largest archive (5)')
    collect.add_argument('--weights', type=Path, help="folder for the best row's backbone")
    collect.add_argument('--state', type=Path, help='folder for what begun runs need to go on')
    collect.add_argument('--part-mib', type=float, default=15, help='largest part of these (15)')

    bring = commands.add_parser('import', help='check collected evidence and put it in place')
    bring.add_argument('archive', type=Path)
    bring.add_argument('--into', type=Path, required=True, help='docs/results/NAME or a work-dir')
    bring.add_argument('--state', type=Path, help='folder of the parts of begun runs')

    join = commands.add_parser('join', help='join parts of weights')
    join.add_argument('parts', type=Path, help='folder of manifest and parts')
    join.add_argument('--out', type=Path, required=True, help='folder for the whole files')


def _add_work(parser: ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--plan', help='name or file of a plan')
    what.add_argument('--table', help='a table, with the flags below')
    add_source_argument(parser)
    parser.add_argument('--rows', nargs='+', default=['*'], metavar='PATTERN')
    parser.add_argument('--seeds', type=int, nargs='+', default=[0])
    parser.add_argument('--scale', choices=['demo', 'paper'], default='paper')
    add_budget_arguments(parser)
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/benchmarks'))


def run(args: Namespace) -> None:
    """Do what the command says."""
    {'pack': pack, 'run': make, 'collect': collect, 'import': bring, 'join': join}[args.action](
        args
    )


def read_items(args: Namespace) -> list:
    """Return the items that the arguments name."""
    from benchmarks.offline.plans import Item, read_plan
    from benchmarks.papers.catalogue import import_tables

    if args.file is not None:
        import_tables(args.file)
    if args.plan is None:
        rows, seeds = tuple(args.rows), tuple(args.seeds)
        budget = (args.epochs, args.search_epochs, args.fast)
        return [Item(args.table, rows, seeds, args.scale, *budget)]
    shipped = Path(__file__).with_name('shipped') / f'{args.plan}.json'
    return read_plan(shipped if shipped.is_file() else Path(args.plan))


def pack(args: Namespace) -> None:
    """Pack, and say what must be sent."""
    from benchmarks.offline import packing
    from benchmarks.offline.set_up import MANIFEST, read_manifest
    from benchmarks.offline.wheels import HAVE, read_requirements

    before = read_manifest(args.out) if (args.out / MANIFEST).is_file() else {'payloads': {}}
    have = HAVE if args.have is None else read_requirements(args.have)
    platforms = args.platform or packing.PLATFORMS
    manifest = packing.pack(
        ROOT, args.out, args.python, args.data, have, platforms, args.part_mib, args.dirty
    )
    same = packing.unchanged(before, manifest)
    parts = [part for payload in manifest['payloads'].values() for part in payload['parts']]
    for part in parts:
        mark = '  unchanged' if part['name'] in same else ''
        print(f'{part["size"] / 2**20:8.2f} MiB  {part["name"]}{mark}')
    total = sum(part['size'] for part in parts) / 2**20
    print(f'{len(parts)} parts, {total:.1f} MiB, {len(manifest["wheels"])} wheels, beside them')
    print(f'manifest.json and set_up.py: {args.out}')


def make(args: Namespace) -> None:
    """Make runs; the exit status says what came of it."""
    begin = time.monotonic()

    from benchmarks.offline.plans import overview, resolve, walk
    from benchmarks.papers.execution import Workshop

    # Whoever stops us stops the training, which then saves what it has.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    deadline = None if args.seconds is None else begin + args.seconds
    workshop = Workshop(ROOT, args.work_dir.resolve() / 'runs', deadline)
    items = read_items(args)
    if args.dry_run:
        listed = overview([resolve(item, ROOT) for item in items], workshop)
        print('\n'.join(line for _, line in listed))
        return
    outcome = walk(items, workshop)
    print(f'{outcome.left} runs left')
    if outcome.failed:
        failed = f'{len(outcome.failed)} runs failed: {"; ".join(outcome.failed)}'
        print(f'error: {failed}', file=sys.stderr)
    sys.exit(EX_TEMPFAIL if outcome.is_cut else 2 if outcome.failed or outcome.left else 0)


def collect(args: Namespace) -> None:
    """Collect, and say what came of it."""
    from benchmarks.offline import collecting
    from benchmarks.papers.execution import Workshop

    workshop, items = Workshop(ROOT, args.work_dir.resolve() / 'runs'), read_items(args)
    left_out = collecting.collect(items, workshop, args.out, args.limit_mib, read_commit())
    print(f'{args.out.stat().st_size / 2**20:.2f} MiB  {args.out}')
    if left_out:
        print(f'left out for --limit-mib: {" ".join(left_out)}')
    if args.state is not None:
        names = collecting.collect_state(items, workshop, args.state, args.part_mib)
        print(f'{args.state}: {", ".join(names)}')
    if args.weights is not None:
        collect_weights(args, *collecting.best_row(items, workshop), workshop)


def collect_weights(args: Namespace, job, metric: str, figure: float, workshop) -> None:
    """Write the backbone of a run in parts."""
    from benchmarks.offline.parts import MIB, cut, replacing, write_manifest
    from nasiam_mm.export import export_backbone, read_pretrained

    last = workshop.of(job) / f'train/epoch_{job.cfg.train_cfg.max_epochs}.pth'
    with replacing(args.weights) as fresh:
        whole = fresh / f'{job.name}_backbone.pth'
        export_backbone(read_pretrained(last), whole)
        name, entry = whole.name, cut(whole, fresh, int(args.part_mib * MIB))
        write_manifest(fresh, {name: entry}, run=job.name, **{metric: figure})
    print(f'{args.weights}: {job.name}, {metric} {figure:.2f}, {len(entry["parts"])} parts')


def read_commit() -> str:
    """Return the commit of the code, as set_up.py noted it or as git knows it."""
    noted = ROOT / 'COMMIT'
    if noted.is_file():
        return noted.read_text(encoding='utf-8').strip()
    command = ['git', '-C', str(ROOT), 'describe', '--always', '--dirty', '--abbrev=40']
    found = subprocess.run(command, capture_output=True, text=True)
    return found.stdout.strip() or 'not known'


def bring(args: Namespace) -> None:
    """Import, and say what came."""
    from benchmarks.offline.importing import import_collected, import_state
    from benchmarks.offline.parts import join_parts

    names = import_collected(args.archive, args.into)
    print(f'rows imported, each with its log: {len(names)}, to {args.into}')
    if args.state is not None:
        with tempfile.TemporaryDirectory() as folder:
            (whole,) = join_parts(args.state, Path(folder))
            print(f'to go on: {", ".join(import_state(whole, args.into))}')


def join(args: Namespace) -> None:
    """Join parts, and name the whole files."""
    from benchmarks.offline.parts import join_parts

    for path in join_parts(args.parts, args.out):
        print(path)


if __name__ == '__main__':
    run_module('benchmarks.offline', __doc__, add_arguments, run)
