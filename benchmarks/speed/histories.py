# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a search's record, health and drawing cost over the epochs, beside its iterations.

The hooks are the recipe's, called after each epoch of a run whose iterations are left out; alpha
moves at random in between. A held-out batch is of the size that the iteration has, so that health
is a fixed share of an epoch's iterations whatever that size; the record does not depend on it.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.speed.clock import now, seconds
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.search import SEARCH, Iteration
from benchmarks.speed.setup import CIFAR10_IMAGES, Setup
from nasiam_mm.search.health import SearchHealthHook
from nasiam_mm.search.recorder import GenotypeHook

EPOCHS, BATCH = 1000, 512
ITERATIONS = CIFAR10_IMAGES // 2 // BATCH  # of an epoch: half of the images are for the weights
GPU_EPOCH = 2.0  # seconds that an epoch is to take on a GPU
HEALTH_EVERY = 100  # epochs between two looks, which cost the same each time
RECORD, HEALTH = 'record and drawing', 'health'
PARTS = 4  # of the epochs, to show growth


def measure_histories(setup: Setup) -> Iterator[Measurement]:
    """Time the hooks of every epoch, and iterations between them."""
    epochs = 4 if setup.divisor > 1 else EPOCHS
    cfg = setup.config(SEARCH)
    cfg.train_cfg.max_epochs = epochs
    with TemporaryDirectory() as folder:
        iteration = Iteration(cfg, setup.device, str(Path(folder, 'histories')))
        spent = _walk(iteration, epochs, setup)
    record, health, step = spent[RECORD], spent[HEALTH], spent['iteration']
    found = Measurement(f'A search of {epochs:,} epochs', 's per epoch')
    # Iterations of another batch take time in proportion; so does a held-out batch.
    scale = BATCH / setup.batch_size
    found.sides[f'{ITERATIONS} iterations'] = Side([ITERATIONS * scale * each for each in step])
    size = epochs // PARTS
    for part in range(PARTS):
        told = f'{RECORD}, epochs {part * size + 1:,} to {(part + 1) * size:,}'
        found.sides[told] = Side([sum(record[part * size : (part + 1) * size]) / size])
    found.sides[RECORD] = Side([sum(record) / epochs], note='the mean of all')
    found.sides[HEALTH] = Side([scale * each for each in health])
    whole = 'record, drawing and health'
    found.sides[whole] = Side([found.sides[RECORD].samples[0] + scale * h for h in health])
    one = statistics.median(found.sides[f'{ITERATIONS} iterations'].samples)
    found.ratios += [
        Ratio(f'{RECORD} / iterations', RECORD, one, at_most=0.01),
        Ratio(f'{HEALTH} / iterations', HEALTH, one),
        Ratio(f'{whole} / iterations', whole, one, at_most=0.01),
        Ratio(f'{RECORD} / an epoch of {GPU_EPOCH:g} s', RECORD, GPU_EPOCH, at_most=0.01),
    ]
    yield found


def _walk(iteration: Iteration, epochs: int, setup: Setup) -> dict[str, list[float]]:
    """Call the hooks after each epoch; return their seconds, and those of iterations."""
    runner = iteration.runner
    kinds = {RECORD: GenotypeHook, HEALTH: SearchHealthHook}
    hooks = {
        name: next(hook for hook in runner.hooks if isinstance(hook, kind))
        for name, kind in kinds.items()
    }
    runner.train_loop  # noqa: B018, a config until it is asked for
    for hook in hooks.values():
        hook.before_run(runner)
        hook.before_train(runner)
    spent: dict[str, list[float]] = {RECORD: [], HEALTH: [], 'iteration': []}
    iteration()
    alphas = iteration.model.architecture.alphas()
    draw = torch.Generator().manual_seed(0)
    for epoch in range(epochs):
        runner.train_loop._epoch = epoch
        with torch.no_grad():
            for alpha in alphas:
                alpha += 0.01 * torch.randn(alpha.shape, generator=draw).to(alpha)
        begin = now(setup.device)
        hooks[RECORD].after_train_epoch(runner)
        spent[RECORD].append(now(setup.device) - begin)
        if epoch % max(1, epochs // max(1, EPOCHS // HEALTH_EVERY)) == 0:
            begin = now(setup.device)
            hooks[HEALTH].after_train_epoch(runner)
            spent[HEALTH].append(now(setup.device) - begin)
            spent['iteration'].append(seconds(iteration, setup.device))
    return spent
