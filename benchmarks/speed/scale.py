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
from benchmarks.speed.setup import Setup
from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.evaluation.linear import fit_linear

KNN, LINEAR = 'knn', 'linear'
IMAGENET, CLASSES = 1_281_167, 100
QUERIES, NEIGHBOURS = 1024, 200  # as many as are looked for at a time
STEPS = 21  # more than L-BFGS remembers
# Rows, and the width of a ResNet-50's features.
SIZES, WIDTH = (80_000, 160_000, IMAGENET), 2048
QUICK, QUICK_WIDTH = (2000, 4000), 64
# Of what a probe makes, over its features: blocks of the bank; one copy.
AT_MOST = {KNN: 0.1, LINEAR: 1.05}
# What is freed goes back to the system at once, so that the peak is of what lives.
_RETURNED = {'MALLOC_MMAP_THRESHOLD_': '65536', 'MALLOC_TRIM_THRESHOLD_': '65536'}


def measure_scale(setup: Setup) -> list[Measurement]:
    """Read what the probes make in memory, beside features that are mapped into it."""
    sizes, width = (QUICK, QUICK_WIDTH) if setup.divisor > 1 else (SIZES, WIDTH)
    found = []
    for probe, at_most in AT_MOST.items():
        one = Measurement(f'Peak memory: {probe} probe, {width} wide', 'MiB above the imports')
        for rows in sizes:
            features, peak = f'features, {rows:,}', f'peak, {rows:,}'
            one.sides[features] = Side([rows * width * 4 / 2**20])
            try:
                one.sides[peak] = Side([_peak(probe, rows, width)])
            except RuntimeError as error:
                one.not_run[peak] = str(error)
        found.append(one)
        if peak not in one.sides:
            continue
        one.ratios.append(Ratio(f'peak / features, {rows:,}', peak, features, at_most=at_most))
        if probe == LINEAR:
            both = sum(one.sides[side].samples[0] for side in (features, peak))
            one.sides[f'both, {rows:,}'] = Side([both])
            one.ratios.append(Ratio('both / 32 GB', f'both, {rows:,}', 32e9 / 2**20, at_most=1.0))
    return found


def _peak(probe: str, rows: int, width: int) -> float:
    command = [sys.executable, '-m', __name__, probe, str(rows), str(width)]
    paths = [str(ROOT), os.environ.get('PYTHONPATH')]
    environment = {**os.environ, **_RETURNED, 'PYTHONPATH': os.pathsep.join(filter(None, paths))}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f'exit status {done.returncode}']
        raise RuntimeError(lines[-1])
    return json.loads(done.stdout.splitlines()[-1])


def peak_of(probe: str, rows: int, width: int) -> float:
    """Return by how many MiB the memory of a probe's own grows at its peak.

    The features are a file mapped into memory, whose pages are the system's to drop: who holds
    them in memory adds their size.
    """
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(CLASSES, (rows,), generator=draw)
    with TemporaryDirectory() as folder:
        features = _mapped(Path(folder, 'features.npy'), rows, width, draw)
        query = torch.randn(QUERIES, width, generator=draw)
        truth = torch.randint(CLASSES, (QUERIES,), generator=draw)
        with Anonymous() as meter:
            if probe == LINEAR:
                fit_linear(features, labels, CLASSES, l2=1e-4, max_steps=STEPS)
            else:
                knn_accuracy(query, truth, features, labels, CLASSES, k=NEIGHBOURS)
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
