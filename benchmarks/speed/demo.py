# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The demo's iterations: a search's as it ships, with the plain loader and SGD, and by operator."""

import gc
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config
from torch.profiler import ProfilerActivity, profile

from benchmarks.configs import loaders
from benchmarks.speed.clock import seconds, turns
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.search import Iteration
from benchmarks.speed.setup import Setup
from tools.demo import size_of

CONFIG, BATCH = 'simclr_r18_{}_cifar10_demo', 128
SHIPPED, PLAIN = 'ResidentDataset, fused SGD', 'ReplayDataset, foreach SGD'
PRETRAIN = 'pretraining, as it ships'
ITERATIONS = 5  # of a turn
# Words in the name of an operator -> what it is told as.
KINDS = {
    'convolution': 'convolutions', 'mkldnn': 'convolutions', 'batch_norm': 'BatchNorm',
    'mm': 'matrix products', 'pool': 'pools', '_fused_sgd': 'optimizers', 'adam': 'optimizers',
}  # fmt: skip
OTHER = 'everything else'


def demo_config(setup: Setup, side: str) -> Config:
    """Return the demo's config, with its own batch, on one of the sides."""
    # Its backbone is slim: an eighth of its widths is less than oneDNN takes.
    cfg = replace(setup, divisor=1).config(
        CONFIG.format('baseline' if side == PRETRAIN else 'search')
    )
    for loader in loaders(cfg._cfg_dict):
        loader.batch_size = 8 if setup.divisor > 1 else BATCH
    cfg.merge_from_dict(size_of(cfg))
    if side == PLAIN:
        for loader in loaders(cfg._cfg_dict):
            if loader.dataset.type == 'ResidentDataset':
                loader.dataset = dict(loader.dataset, type='ReplayDataset', with_view_seed=True)
                loader.collate_fn = dict(type='default_collate')
        cfg.optim_wrapper.optimizer.update(fused=False, foreach=True)
    return cfg


def measure_demo(setup: Setup) -> Iterator[Measurement]:
    """Time iterations of the sides in turn, then divide one's time between operators."""
    found = Measurement("The demo's iterations", 'ms')
    found.ratios.append(Ratio('plain / as it ships', PLAIN, SHIPPED, at_least=1.07))
    with TemporaryDirectory() as folder:
        runs = {}
        for number, side in enumerate((SHIPPED, PLAIN, PRETRAIN)):
            cfg = demo_config(setup, side)
            runs[side] = Iteration(cfg, setup.device, str(Path(folder, f'demo_{number}')))
            runs[side]()  # finds its memory and its kernels
            found.sides[side] = Side()
        for side, run in turns(runs, setup.repeats, found.is_near):
            spent = seconds(lambda run=run: [run() for _ in range(ITERATIONS)], setup.device)
            found.sides[side].samples.append(1000 * spent / ITERATIONS)
        yield found
        yield _by_operator(runs[SHIPPED])
        runs.clear()
        gc.collect()


def _by_operator(run: Iteration) -> Measurement:
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(ITERATIONS):
            run()
    spent: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        kind = next((told for word, told in KINDS.items() if word in event.key), OTHER)
        spent[kind] += event.self_cpu_time_total
    whole = sum(spent.values())
    found = Measurement("The demo's search iteration, by operator", '% of the time in operators')
    for kind in sorted(spent, key=spent.__getitem__, reverse=True):
        found.sides[kind] = Side([100 * spent[kind] / whole])
    return found
