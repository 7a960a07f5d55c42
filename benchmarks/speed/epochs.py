# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Seconds of an epoch in whole runs of the recipes, and how near they come to the arithmetic."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config

from benchmarks.speed.ceilings import measure_ceilings
from benchmarks.speed.clock import now
from benchmarks.speed.figures import Measurement, Side, Spread
from benchmarks.speed.search import Iteration, count_sections
from benchmarks.speed.settings import CIFAR10_IMAGES, Settings
from benchmarks.speed.steps import make_fastest
from benchmarks.speed.window import WindowHook, run_windows

# Name -> config, and the images whose weight steps make an epoch of it.
RUNS = {
    'pretraining': ('simsiam_r18_baseline_cifar10', CIFAR10_IMAGES),
    'search': ('simsiam_r18_search_cifar10', CIFAR10_IMAGES // 2),
}
WINDOW, WARM_UP = 50, 10


def measure_epochs(settings: Settings, window: int = WINDOW) -> list[Measurement]:
    """Run pretraining and search as they ship and in bfloat16; extrapolate from windows.

    Everything takes part: loaders with their workers, hooks, logging. An epoch
    is that of CIFAR-10 whatever the number of images at hand. The fraction is
    the time that the FLOPs would take at the measured rate of bfloat16 products
    over the time measured.
    """
    peak = Spread.of(measure_ceilings(settings)[0].sides[str(torch.bfloat16)].samples).median
    times = Measurement('Epoch of a whole run, CIFAR-10', 's/epoch')
    fractions = Measurement('Fraction of the bfloat16 matrix product rate', '%')
    for name, (config, images) in RUNS.items():
        for is_best in (False, True):
            side = f'{name}, {"bf16" if is_best else "as shipped"}'
            cfg = _config(settings, config, is_best)
            with TemporaryDirectory() as folder:
                hook = WindowHook(lambda: now(settings.device), WARM_UP, window, settings.repeats)
                seconds = run_windows(cfg, folder, hook)
            flops = _gflop(settings, config, is_best) * settings.batch_size
            iterations = images // settings.batch_size
            times.sides[side] = Side([s * iterations for s in seconds])
            fractions.sides[side] = Side([100 * flops / 1000 / s / peak for s in seconds])
    return [times, fractions]


def _config(settings: Settings, config: str, is_best: bool) -> Config:
    cfg = settings.config(config)
    if is_best:
        make_fastest(cfg)
    return cfg


def _gflop(settings: Settings, config: str, is_best: bool) -> float:
    """Count the FLOPs of an iteration, 1e9 per image, views left out."""
    with TemporaryDirectory() as folder:
        cfg = _config(settings, config, is_best)
        iteration = Iteration(cfg, settings.device, str(Path(folder, 'count')))
        parts = count_sections(iteration, settings.batch_size)
    return sum(parts.get(part, 0.0) for part in ('alpha', 'weights'))
