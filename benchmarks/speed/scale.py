# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Peak memory of the probes as their features grow, each size in a fresh process.

python -m benchmarks.speed.scale PROBE ROWS WIDTH
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor

from benchmarks import ROOT
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.memory import peak_resident
from benchmarks.speed.setup import Setup
from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.evaluation.linear import fit_linear

KNN, LINEAR = 'knn', 'linear'
IMAGENET, CLASSES = 1_281_167, 100
QUERIES, NEIGHBOURS = 1024, 200  # as many as are looked for at a time
STEPS = 21  # more than L-BFGS remembers
# Rows, and the width of a ResNet-50's features.
SIZES = {KNN: ((80_000, 160_000, IMAGENET), 2048), LINEAR: ((80_000, 160_000), 2048)}
QUICK = {KNN: ((2000, 4000), 64), LINEAR: ((2000, 4000), 64)}


def measure_scale(setup: Setup) -> list[Measurement]:
    """Read the peaks: of kNN beside a bank that is mapped into memory, of the linear probe."""
    found = []
    for probe, (sizes, width) in (QUICK if setup.divisor > 1 else SIZES).items():
        features = [f'features, {rows:,}' for rows in sizes]
        one = Measurement(f'Peak memory: {probe} probe, {width} wide', 'MiB above the imports')
        for rows, name in zip(sizes, features, strict=True):
            one.sides[name] = Side([rows * width * 4 / 2**20])
            try:
                one.sides[f'peak, {rows:,}'] = Side([_peak(probe, rows, width)])
            except RuntimeError as error:
                one.not_run[f'peak, {rows:,}'] = str(error)
        if probe == KNN:
            # The system drops the bank's pages as it likes; what kNN makes is to stay far below.
            most = f'{sizes[-1]:,}'
            told = f'peak / features, {most}'
            one.ratios.append(Ratio(told, f'peak, {most}', f'features, {most}', at_most=0.1))
        elif all(f'peak, {rows:,}' in one.sides for rows in sizes):
            _extrapolate(one, sizes, width)
        found.append(one)
    return found


def _extrapolate(found: Measurement, sizes: tuple[int, ...], width: int) -> None:
    """Draw the line through two sizes to that of ImageNet."""
    small, large = (found.sides[f'peak, {rows:,}'].samples[0] for rows in sizes)
    slope = (large - small) / (sizes[1] - sizes[0])
    grown, per_row = 'growth of the peak, per row', 'features, per row'
    found.sides[grown] = Side([slope])
    found.sides[per_row] = Side([4 * width / 2**20])
    whole = f'{IMAGENET:,} rows, by extrapolation'
    found.sides[whole] = Side([small + slope * (IMAGENET - sizes[0])], note='not measured')
    found.ratios.append(Ratio('growth / features', grown, per_row, at_most=2.05))
    found.ratios.append(Ratio(f'{whole} / 32 GB', whole, 32e9 / 2**20, at_most=1.0))


def _peak(probe: str, rows: int, width: int) -> float:
    command = [sys.executable, '-m', __name__, probe, str(rows), str(width)]
    paths = [str(ROOT), os.environ.get('PYTHONPATH')]
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, paths))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        raise RuntimeError(lines[-1])
    return json.loads(done.stdout.splitlines()[-1])


def peak_of(probe: str, rows: int, width: int) -> float:
    """Return the peak in MiB: of kNN less its mapped bank, of a fit with its features.

    The bank of kNN is a file mapped into memory, whose pages are the system's to drop: what is
    read is the growth of the memory that is the process's own.
    """
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (rows,), generator=draw)
    if probe == LINEAR:
        before = peak_resident()
        features = torch.randn(rows, width, generator=draw)
        fit_linear(features, labels, CLASSES, l2=1e-4, max_steps=STEPS)
        return peak_resident() - before
    with TemporaryDirectory() as folder:
        bank = _mapped(Path(folder, 'bank.npy'), rows, width, draw)
        query = torch.randn(QUERIES, width, generator=draw)
        truth = torch.randint(CLASSES, (QUERIES,), generator=draw)
        with Anonymous() as meter:
            knn_accuracy(query, truth, bank, labels, CLASSES, k=NEIGHBOURS)
    return meter.grown


def _mapped(path: Path, rows: int, width: int, draw: torch.Generator) -> Tensor:
    array = np.lib.format.open_memmap(path, 'w+', np.float32, (rows, width))
    for start in range(0, rows, 4096):
        part = array[start : start + 4096]
        part[:] = torch.randn(part.shape, generator=draw).numpy()
    array.flush()
    del array
    return torch.from_numpy(np.load(path, mmap_mode='c'))


class Anonymous:
    """Follows the memory of this process that no file stands behind, in MiB."""

    def __enter__(self) -> 'Anonymous':
        import threading

        self._done, self.peak, self.begin = threading.Event(), 0.0, _anonymous()
        self._thread = threading.Thread(target=self._follow)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._done.set()
        self._thread.join()

    def _follow(self) -> None:
        while True:
            self.peak = max(self.peak, _anonymous())
            if self._done.wait(0.005):
                return

    @property
    def grown(self) -> float:
        """Growth since the beginning, at its largest."""
        return self.peak - self.begin


def _anonymous() -> float:
    for line in Path('/proc/self/status').read_text(encoding='ascii').splitlines():
        if line.startswith('RssAnon:'):
            return int(line.split()[1]) / 2**10
    raise RuntimeError('/proc/self/status has no RssAnon; this takes Linux')


if __name__ == '__main__':
    torch.set_num_threads(1)
    print(json.dumps(peak_of(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
