# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A small SimSiam on coloured noise, for tests that need a real run.

Importing this module registers ``TinyBackbone``, ``ScriptedNeck`` and ``Blobs``.
"""

import multiprocessing
import random
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import Dataset

from nasiam_mm.registry import DATASETS, MODELS

ITERATIONS = 7  # of an epoch of build_runner's
MEAN, STD = [19.0, 20.0, 21.0], [4.0, 5.0, 6.0]


@MODELS.register_module(force=True)
class TinyBackbone(nn.Module):
    """Two stages; the first BatchNorm stays in evaluation mode like mmpretrain's norm_eval."""

    def __init__(self, both_stages=False):
        super().__init__()
        self.both_stages = both_stages
        self.stage1 = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.stage2 = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU())

    def train(self, mode=True):
        super().train(mode)
        self.stage1[1].eval()
        return self

    def forward(self, x):
        first = self.stage1(x)
        last = self.stage2(first)
        return (first, last) if self.both_stages else (last,)


@MODELS.register_module(force=True)
class ScriptedNeck(nn.Module):
    """Linear and BatchNorm; the letter of the iteration says what becomes of the output.

    H healthy, C collapsed to a point, L collapsed to a line, N not a number.
    The last letter holds on. Two calls, one per view, are an iteration.
    """

    def __init__(self, script='H'):
        super().__init__()
        self.fc = nn.Linear(8, 8)
        self.bn = nn.BatchNorm1d(8, affine=False)
        self.script = script
        self.register_buffer('calls', torch.zeros((), dtype=torch.long))
        self.seen = []
        self.in_alpha_step = False

    def forward(self, x):
        z = self.bn(self.fc(x[0].mean((2, 3))))
        if self.in_alpha_step:
            return (torch.ones_like(z),)
        letter = self.script[min(int(self.calls) // 2, len(self.script) - 1)]
        self.calls += 1
        if letter == 'C':
            z = 1 + 1e-3 * z
        elif letter == 'L':
            z = torch.linspace(-1, 1, len(z))[:, None].sign() + 0 * z
        elif letter == 'N':
            z = z * float('nan')
        self.seen.append(z.detach().clone())
        return (z,)


@DATASETS.register_module(force=True)
class Blobs(Dataset):
    """Images of seven classes, each of its own colour, and jittered views of them."""

    metainfo = {}

    def __init__(self, size=40, views=1, split='train', seed=0, augment=False):
        np.random.rand()  # as a dataset that draws its part does
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(7, (size,), generator=generator)
        colours = torch.randn(7, 3, 1, 1, generator=torch.Generator().manual_seed(9))
        noise = torch.randn(size, 3, 8, 8, generator=generator)
        self.images = 20 + 5 * (colours[self.labels] + 0.2 * noise)
        self.views, self.split, self.augment = views, split, augment

    def full_init(self):
        pass  # asked for by RepeatDataset

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        def view():
            # Draws from all three generators, as transforms do.
            jitter = random.random() + np.random.rand() + torch.rand(1).item()
            return self.images[index] + (self.augment and jitter)

        inputs = [view() for _ in range(self.views)] if self.views > 1 else view()
        sample = DataSample().set_gt_label(int(self.labels[index]))
        return {'inputs': inputs, 'data_samples': sample}


def model_cfg(script: str = 'H') -> dict:
    """Stock SimSiam around the small parts; the neck follows ``script``."""
    predictor = {
        'type': 'NonLinearNeck',
        'in_channels': 8,
        'hid_channels': 4,
        'out_channels': 8,
        'with_avg_pool': False,
        'with_last_bn': False,
    }
    return {
        'type': 'SimSiam',
        'data_preprocessor': {'mean': MEAN, 'std': STD},
        'backbone': {'type': 'TinyBackbone'},
        'neck': {'type': 'ScriptedNeck', 'script': script},
        'head': {
            'type': 'LatentPredictHead',
            'loss': {'type': 'CosineSimilarityLoss'},
            'predictor': predictor,
        },
    }


def loader_cfg(batch_size: int = 16, shuffle: bool = False, **dataset) -> dict:
    """Config of a loader of ``Blobs(**dataset)``."""
    return {
        'batch_size': batch_size,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': shuffle},
        'collate_fn': {'type': 'default_collate'},
        'dataset': {'type': 'Blobs', **dataset},
    }


def build_runner(work_dir: Path, hooks: list[dict], max_epochs: int, **changes) -> Runner:
    """Build a run of ``ITERATIONS`` an epoch, on a fresh message hub."""
    MessageHub._instance_dict.clear()
    cfg = {
        'default_scope': 'nasiam_mm',
        'work_dir': str(work_dir),
        'model': model_cfg(),
        'train_dataloader': loader_cfg(4, shuffle=True, size=4 * ITERATIONS, views=2, augment=True),
        'train_cfg': {'by_epoch': True, 'max_epochs': max_epochs},
        'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.02, 'momentum': 0.9}},
        'custom_hooks': hooks,
        'randomness': {'seed': 5},
        'experiment_name': work_dir.name,
        **changes,
    }
    return Runner.from_cfg(Config(cfg))


def scripted_runner(
    work_dir: Path, script: str, hook: dict, max_epochs: int = 2, **changes
) -> Runner:
    """Build a run whose neck follows ``script`` under a ``CollapseHook(**hook)``."""
    hooks = [{'type': 'CollapseHook', **hook}]
    return build_runner(work_dir, hooks, max_epochs, model=model_cfg(script), **changes)


def collapse_lines(work_dir: Path) -> list[str]:
    """Return the lines of the newest log that report a collapse."""
    log = max(work_dir.glob('*/*.log')).read_text()
    return [line for line in log.splitlines() if 'embeddings collapsed' in line]


def iterations_of(lines: list[str]) -> list[int]:
    """Return the iterations that the lines name."""
    return [int(re.search(r'iteration (\d+)', line)[1]) for line in lines]


def run_two_processes(target: Callable, folder: Path, *args) -> list[dict]:
    """Return ``target(rank, *args)`` of two processes that share a gloo group."""
    context = multiprocessing.get_context('fork')
    processes = [
        context.Process(target=_rank, args=(target, folder, rank, args)) for rank in range(2)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [torch.load(folder / f'{rank}.pt') for rank in range(2)]


def _rank(target: Callable, folder: Path, rank: int, args: tuple) -> None:
    torch.set_num_threads(1)
    torch_dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2
    )
    torch.save(target(rank, *args), folder / f'{rank}.pt')
    torch_dist.destroy_process_group()
