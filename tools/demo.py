# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The whole chain on real CIFAR-10 on two CPU cores, in minutes.

Search a SimCLR head on 10,000 images, pretrain a slim ResNet-18 with the head
found, the standard one and a random one (same images, epochs and seed), measure
each by kNN on 2,000 other training images, and print what came out, whichever
head wins. A finished step is not run again; an interrupted one is resumed.
"""

import argparse
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = ROOT / 'configs/nasiam'
SEARCH = CONFIGS / 'simclr_r18_search_cifar10_demo.py'
PRETRAIN = CONFIGS / 'simclr_r18_pretrain_cifar10_demo.py'
BASELINE = CONFIGS / 'simclr_r18_baseline_cifar10_demo.py'
PACKAGES = ('torch', 'torchvision', 'onedl-mmengine', 'onedl-mmcv', 'onedl-mmpretrain', 'numpy')


def main() -> int:
    """Run every step, then print and write the summary."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--work-dir', default='work_dirs/demo', help='where all results go')
    parser.add_argument('--seed', type=int, default=0, help='seed of every run')
    args = parser.parse_args()
    work = Path(args.work_dir)
    began = time.time()

    say('1/5 data')
    call('tools/dataset_converters/prepare_cifar10.py')
    say('2/5 search a head (SimCLR, space S)')
    search = train(SEARCH, work / 'search', args.seed)
    found = work / 'search/genotype.json'
    drawn = work / 'random_genotype.json'
    call('tools/analysis_tools/random_genotype.py', found, '--seed', args.seed, '--out', drawn)
    rows = []
    heads = [
        ('searched', PRETRAIN, found),
        ('standard', BASELINE, None),
        ('random', PRETRAIN, drawn),
    ]
    for number, (head, config, genotype) in enumerate(heads, start=3):
        say(f'{number}/5 pretrain with the {head} head')
        rows.append({'head': head, **train(config, work / head, args.seed, genotype)})
    untrained = {
        'head': 'untrained',
        'knn_top1': rows[0].pop('knn_top1_untrained'),
        'loss': None,
        'seconds': 0.0,
        'genotype': None,
    }
    for row in rows[1:]:
        row.pop('knn_top1_untrained')
    report(work, [untrained, *rows], search, args.seed, time.time() - began)
    return 0


def train(config: Path, work: Path, seed: int, genotype: Path | None = None) -> dict:
    """Run one config, or take its finished row; resume what was interrupted."""
    stamp = fingerprint(config, genotype, seed)
    finished = work / 'row.json'
    if finished.exists():
        row = json.loads(finished.read_text())
        if row.pop('fingerprint') == stamp:
            print(f'already done: {finished}')
            return row
    started = work / 'fingerprint'
    if work.exists() and (not started.exists() or started.read_text() != stamp):
        work.rename(work.with_name(f'{work.name}.old-{time.time_ns()}'))
    work.mkdir(parents=True, exist_ok=True)
    started.write_text(stamp)
    began = time.time()
    options = ['--genotype', genotype] if genotype else []
    call('tools/train.py', config, '--work-dir', work, '--seed', seed, '--resume', *options)
    scalars = read_scalars(work)
    knn = [entry['knn/val_top1'] for entry in scalars if 'knn/val_top1' in entry]
    row = {
        'knn_top1': knn[-1],
        'knn_top1_untrained': knn[0],
        'loss': [entry['loss'] for entry in scalars if 'loss' in entry][-1],
        'seconds': round(time.time() - began, 1),
        'genotype': str(genotype) if genotype else None,
    }
    write(finished, {**row, 'fingerprint': stamp})
    return row


def read_scalars(work: Path) -> list[dict]:
    """Scalars of the runs in a work directory, oldest first."""
    lines = [
        line
        for file in sorted(work.glob('*/vis_data/scalars.json'))
        for line in file.read_text().splitlines()
    ]
    return [json.loads(line) for line in lines]


def fingerprint(config: Path, genotype: Path | None, seed: int) -> str:
    """Digest of all that decides the outcome of a step."""
    from mmengine.config import Config

    digest = hashlib.sha256(Config.fromfile(config).pretty_text.encode())
    digest.update(genotype.read_bytes() if genotype else b'')
    digest.update(json.dumps([seed, versions()]).encode())
    return digest.hexdigest()


def report(work: Path, rows: list[dict], search: dict, seed: int, seconds: float) -> None:
    """Print the table; leave it in summary.json."""
    from mmengine.utils import mkdir_or_exist

    mkdir_or_exist(work)
    source = json.loads((ROOT / 'data/cifar10/source.json').read_text())
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
        'versions': versions(),
        'machine': f'{os.cpu_count()} cores, {platform.machine()}, {platform.system()}',
    }
    write(work / 'summary.json', summary)
    say('result')
    print(f'{"head":<12}{"kNN top-1 %":>12}{"loss":>10}{"seconds":>10}  genotype')
    for row in rows:
        loss = '-' if row['loss'] is None else f'{row["loss"]:.4f}'
        print(
            f'{row["head"]:<12}{row["knn_top1"]:>12.2f}{loss:>10}{row["seconds"]:>10.0f}  '
            f'{row["genotype"] or "-"}'
        )
    print(
        'kNN on 2,000 training images kept out of every run; one seed: a figure has a standard '
        'error of about 1.1 points.'
    )
    print(
        f'genotype drawn in {work}/search/genotype.png, alpha over time in {work}/search/alpha.png'
    )
    print(f'everything lies in {work}; summary in {work}/summary.json ({seconds:.0f} s this time)')


def versions() -> dict[str, str]:
    """Versions of the packages that decide the outcome."""
    return {name: importlib.metadata.version(name) for name in ('nasiam_mm', *PACKAGES)}


def write(path: Path, data: dict) -> None:
    """Write JSON, whole or not at all."""
    from nasiam_mm.files.atomic import atomic_path

    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + '\n')


def call(script: str, *arguments: object) -> None:
    """Run one of our tools; leave with its status if it fails."""
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    # Waiting threads that spin slow a machine down on which anything else runs.
    environment = {'OMP_WAIT_POLICY': 'PASSIVE', **os.environ}
    status = subprocess.run(command, check=False, env=environment).returncode
    if status:
        sys.exit(f'demo stopped: {script} failed with status {status}; run again to go on')


def say(text: str) -> None:
    """Print a heading."""
    print(f'\n=== {text} ===', flush=True)


if __name__ == '__main__':
    sys.exit(main())
