# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Run the whole chain on real CIFAR-10 on two CPU cores: ``make demo``.

Search a head (of SimCLR, or of ``--framework``) on 10,000 images at 16 pixels, pretrain a
ResNet-18 of an eighth of the usual width with the head found, the standard one and a random one
(same images, epochs and seed), measure each by kNN on 2,000 other training images, and print what
came out, whichever head wins. A finished step is not run again; an interrupted one is resumed.
What the steps say goes to the folder consoles of the work directory.
"""

import json
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path

from mmengine.config import Config

from nasiam_mm.cli.config import check_seed, set_genotype
from nasiam_mm.cli.main import as_main, run_process
from nasiam_mm.cli.reading import find_config, load_config
from nasiam_mm.console.screen import VERBOSE, Console, current, say
from nasiam_mm.console.steps import Steps, share_of_epochs
from nasiam_mm.files.atomic import write_json, write_text
from nasiam_mm.files.shipped import framework_names
from nasiam_mm.runs.commands import INTERRUPTED, run_command
from nasiam_mm.runs.identity import identity_digest, run_settings
from nasiam_mm.runs.processes import bound_to_us
from nasiam_mm.runs.record import environment, merge_logs, package_versions

FRAMEWORK = 'simclr'
DATA = Path('data/cifar10')
# The steps, and the seconds they took in docs/results/demo/summary.json: on any machine, what each
# takes beside the others.
STEPS = {
    'bring CIFAR-10': 2,
    'search a head': 163,
    'pretrain with the searched head': 103,
    'pretrain with the standard head': 91,
    'pretrain with the random head': 85,
}
# A quarter of the pixels and half of the channels: a tenth of the time.
PIXELS = 16
SIZE = {
    'model.data_preprocessor.eval_size': PIXELS,
    'model.backbone.stem_channels': 8,
    'model.backbone.base_channels': 8,
    'model.neck.in_channels': 64,
}


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    names = framework_names()
    parser.add_argument('--framework', default=FRAMEWORK, choices=names, help='whose head')
    where = f'where all results go; default: work_dirs/demo, not of {FRAMEWORK} work_dirs/demo_NAME'
    parser.add_argument('--work-dir', help=where)
    parser.add_argument('--seed', type=int, default=0, help='seed of every run')


def run(args: Namespace) -> None:
    """Run every step, then print and write the summary."""
    check_seed(args.seed)
    other = '' if args.framework == FRAMEWORK else f'_{args.framework}'
    work = Path(args.work_dir or f'work_dirs/demo{other}')
    searching, pretraining, baseline = (
        f'nasiam/{args.framework}_r18_{phase}_cifar10_demo.py'
        for phase in ('search', 'pretrain', 'baseline')
    )
    began = time.time()
    steps = Steps(current() or Console(bar=False), STEPS)
    first, second, *others = STEPS

    steps.begin(first)
    call('data', 'cifar10', '--root', DATA, console=console_of(work, 'data'))
    steps.end()
    search = train(searching, work / 'search', args.seed, steps, second, measures_untrained=False)
    found = work / 'search/genotype.json'
    drawn = work / 'random_genotype.json'
    words = 'genotype', 'random', found, '--seed', args.seed, '--out', drawn
    call(*words, console=console_of(work, 'random_genotype'))
    rows: list[dict] = []
    heads = [
        ('searched', pretraining, found),
        ('standard', baseline, None),
        ('random', pretraining, drawn),
    ]
    for step, (head, config, genotype) in zip(others, heads, strict=True):
        # The same seed is the same untrained backbone: one measure of it is enough (C16).
        given = config, work / head, args.seed, steps, step, genotype
        rows.append({'head': head, **train(*given, measures_untrained=not rows)})
    untrained = {
        'head': 'untrained',
        'knn_top1': rows[0].pop('knn_top1_untrained'),
        'loss': None,
        'seconds': 0.0,
        'genotype': None,
    }
    report(work, [untrained, *rows], search, args.seed, time.time() - began)


def train(
    config: str,
    work: Path,
    seed: int,
    steps: Steps,
    step: str,
    genotype: Path | None = None,
    *,
    measures_untrained: bool,
) -> dict:
    """Run one config, or take its finished row; resume what was interrupted."""
    steps.begin(step)
    config = find_config(config)
    stamp = identity(config, genotype, seed)
    finished = work / 'row.json'
    if finished.exists():
        row = json.loads(finished.read_text(encoding='utf-8'))
        if row.pop('identity', None) == stamp:
            steps.end(is_new=False)
            return row
    started = work / 'identity'
    if work.exists() and (not started.exists() or started.read_text(encoding='utf-8') != stamp):
        work.rename(work.with_name(f'{work.name}.old-{time.time_ns()}'))
    write_text(stamp, started)
    began = time.time()
    options = ['--genotype', genotype] if genotype else []
    options += ['--cfg-options', f'probe.at_start={measures_untrained}']
    options += [f'{name}={value}' for name, value in size_of(load_config(config)).items()]
    words = ['train', config, '--work-dir', work, '--seed', seed, '--resume', *options]
    call(*words, console=console_of(work.parent, work.name), move=steps.move)
    steps.end()
    log = merge_logs(work)
    knn = [entry['knn/val_top1'] for entry in log if 'knn/val_top1' in entry]
    row = {
        'knn_top1': knn[-1],
        'loss': [entry['loss'] for entry in log if 'loss' in entry][-1],
        'seconds': round(time.time() - began, 1),
        'genotype': str(genotype) if genotype else None,
    }
    if measures_untrained:
        row['knn_top1_untrained'] = knn[0]
    write_json({**row, 'identity': stamp}, finished)
    return row


def size_of(cfg: Config) -> dict[str, int]:
    """Return what makes a recipe as small as the demo; half crops stay halves."""
    views, name = cfg.model.data_preprocessor.views, 'model.data_preprocessor.views'
    if isinstance(views, Mapping):
        return {f'{name}.size': PIXELS, **SIZE}
    sizes = {'data.size': PIXELS, 'data.half_size': PIXELS // 2}
    return {f'{name}.{n}.size': sizes[view['size']] for n, view in enumerate(views)} | SIZE


def identity(config: str, genotype: Path | None, seed: int) -> str:
    """Digest of all that decides a step's outcome: it is made again when that changes."""
    cfg = load_config(config)
    cfg.merge_from_dict(size_of(cfg))
    cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    if genotype is not None:
        set_genotype(cfg, str(genotype))
    return identity_digest({**run_settings(cfg), **package_versions()})


def report(work: Path, rows: list[dict], search: dict, seed: int, seconds: float) -> None:
    """Print the table; leave it in summary.json."""
    source = json.loads((DATA / 'source.json').read_text(encoding='utf-8'))
    summary = {
        'rows': rows,
        'search': {
            'seconds': search['seconds'],
            'genotype': str(work / 'search/genotype.json'),
            'drawing': str(work / 'search/genotype.png'),
            'alpha': str(work / 'search/alpha.png'),
        },
        'dataset_digest': source['digests'],
        'seed': seed,
        **environment(),
    }
    write_json(summary, work / 'summary.json')
    say(f'{"head":<12}{"kNN top-1 %":>12}{"loss":>10}{"seconds":>10}  genotype')
    for row in rows:
        loss = '-' if row['loss'] is None else f'{row["loss"]:.4f}'
        say(
            f'{row["head"]:<12}{row["knn_top1"]:>12.2f}{loss:>10}{row["seconds"]:>10.0f}  '
            f'{row["genotype"] or "-"}'
        )
    say(
        'kNN on 2,000 training images kept out of every run; one seed: a figure has a standard '
        'error of about 1.1 points.'
    )
    say(f'genotype drawn in {work}/search/genotype.png, alpha over time in {work}/search/alpha.png')
    say(f'everything lies in {work}; summary in {work}/summary.json ({seconds:.0f} s this time)')


def console_of(work: Path, step: str) -> Path:
    """Return the file for what a step says."""
    return work / 'consoles' / f'{step}.log'


def call(*words: object, console: Path, move: Callable[[float], None] | None = None) -> None:
    """Run ``nasiam``; what it says goes to a file, unless all is to be shown.

    Raises:
        KeyboardInterrupt: If it was interrupted, with what was saved.
        ValueError: If it fails.
    """
    command = [sys.executable, '-m', 'nasiam_mm', *map(str, words)]
    # Waiting threads that spin slow a machine down on which anything else runs.
    quiet = {'OMP_WAIT_POLICY': 'PASSIVE'}
    if current() is None:
        variables = {**quiet, **bound_to_us(), VERBOSE: '1'}
        status = subprocess.run(command, check=False, env=variables).returncode
        told = f'nasiam {words[0]} failed'
    else:
        console.parent.mkdir(parents=True, exist_ok=True)
        with console.open('w', encoding='utf-8') as file:

            def look() -> bool:
                if move is not None:
                    move(share_of_epochs(console.read_text(encoding='utf-8', errors='replace')))
                return False

            try:
                status = run_command(command, file, variables=quiet, look=look)
            except KeyboardInterrupt:
                status = INTERRUPTED[0]
        lines = console.read_text(encoding='utf-8', errors='replace').splitlines() or ['']
        told = lines[-1].removeprefix('error: ')
        if status in INTERRUPTED:
            # Of a training: after which iteration, and which checkpoint.
            saved = told.partition('; go on')[0] if ' written; ' in told else 'interrupted'
            raise KeyboardInterrupt(f'{saved}; the same command goes on')
        told = f'nasiam {words[0]}: {told} ({console})'
    if status in INTERRUPTED:
        raise KeyboardInterrupt('interrupted; run the same command again to go on')
    if status:
        raise ValueError(f'the demo stopped: {told}; run it again to go on')


main = as_main(__doc__, add_arguments, run)

if __name__ == '__main__':
    run_process(main)
