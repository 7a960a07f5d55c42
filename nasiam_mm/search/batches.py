# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Batches of a search's two parts for a selection: its own walk, the run's loaders stand still."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import torch
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from nasiam_mm.datasets.replay import ReplaySampler, endless_batches
from nasiam_mm.search.gradient.hook import AlphaStepHook

# Of the views: recipes use 0 for the weights and 1 for alpha.
_STREAM = 2


def alpha_step_hook(runner: Runner) -> AlphaStepHook:
    """Return the hook that has the held-out part; ValueError where a run has none."""
    for hook in runner.hooks:
        if isinstance(hook, AlphaStepHook):
            return hook
    mend = 'set default_hooks.alpha_step, with optimizer=None where alpha is to stand still'
    raise ValueError(f'the selection measures on the held-out part, but there is none; {mend}')


def check_weight_part(runner: Runner) -> None:
    """Raise ValueError unless the loader of the weight part can be walked beside the run."""
    loader = runner.train_dataloader
    if not isinstance(loader.sampler, ReplaySampler):
        got = type(loader.sampler).__name__
        mend = "train_dataloader.sampler=dict(type='ReplaySampler')"
        raise ValueError(f'the selection tunes the weights, which needs {mend}; got {got}')
    if len(loader.sampler) < loader.batch_size:
        what = f'the weight part has {len(loader.sampler)} images per process'
        raise ValueError(f'{what}, fewer than a batch of {loader.batch_size}')


def held_out_batches(runner: Runner, count: int) -> list[Any]:
    """Draw batches of the held-out part, the same at every call."""
    return list(islice(endless_batches(_beside(alpha_step_hook(runner).loader)), count))


def weight_batches(runner: Runner) -> Iterator[Any]:
    """Walk over batches of the weight part without end, the same at every call."""
    return endless_batches(_beside(runner.train_dataloader))


def _beside(loader: DataLoader) -> DataLoader:
    """Return a loader of the same batches over the same images, with a place of its own."""
    sampler = ReplaySampler(loader.dataset, seed=loader.sampler.seed, stream=_STREAM)
    return DataLoader(
        loader.dataset,
        loader.batch_size,
        sampler=sampler,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
        pin_memory=loader.pin_memory,
        drop_last=True,
        worker_init_fn=loader.worker_init_fn,
        # The seeds of workers come from here, not from the run's generator.
        generator=torch.Generator().manual_seed(loader.sampler.seed),
    )
