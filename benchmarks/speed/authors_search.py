# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The authors' search of SimSiam, run as it is from a checkout of their repository.

Their code is under CC-BY-NC: nothing of it is here, its own functions are
imported and called. What it asks of a machine is stood in for: tensorboard,
which it imports and an iteration does not use, and CUDA on a CPU.
"""

import argparse
import contextlib
import importlib.util
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

from benchmarks.speed.clock import Sections, now
from benchmarks.speed.setup import Setup
from nasiam_mm.datasets.source import array_path, load_array


class OnTheCPU(TorchFunctionMode):
    """Makes on the CPU what is asked for on CUDA."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Call with another device."""
        kwargs = dict(kwargs or {})
        if kwargs.get('device') == 'cuda':
            kwargs['device'] = 'cpu'
        return func(*args, **kwargs)


class PILImages(Dataset):
    """Images as torchvision's ``CIFAR10`` gives them: an array made a PIL image, transformed."""

    def __init__(self, images: np.ndarray, transform: Any) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(Image.fromarray(np.asarray(self.images[index]))), 0


class Fresh:
    """A loader whose every ``next(iter(...))`` makes a loader's iterator, draws, and ends it."""

    def __init__(self, search: 'AuthorsSearch') -> None:
        self.search = search

    def __iter__(self) -> Iterator[Any]:
        search = self.search
        # Not part of an iteration: what the same draw costs without workers.
        with search.sections.section('loading in process'):
            next(iter(search.loader('alpha', 0)))
        with search.sections.section('fresh loading'):
            # The iterator ends with this expression, as in the authors' line.
            batch = next(iter(search.loader('alpha', search.setup.workers)))
        return iter([batch])


class AuthorsSearch:
    """An iteration of the authors' ``train``: their ``search_step``, then their weight step.

    The settings are those of our config. The batch of the weights is loaded in
    this process, which costs it no workers; the batch of alpha as published,
    by a loader started anew with ``workers`` processes.

    Args:
        setup: Checkout, batch size, device, workers.

    Raises:
        FileNotFoundError: If the checkout holds no ``SimSiam/main_search.py``.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.sections = Sections(lambda: now(setup.device))
        self.code = import_main_search(Path(setup.nasiam) / 'SimSiam')
        on_gpu = setup.device == 'cuda'
        options = argparse.Namespace(
            gpu=0 if on_gpu else None, dataset='cifar10', simsiam=True, print_freq=10, epochs=100
        )
        self.options = options
        with contextlib.nullcontext() if on_gpu else OnTheCPU():
            resnet = self.code.models.resnet18
            self.model = self.code.simsiam.builder.SimSiamSearch(resnet, 2048, 512)
        self.model.to(setup.device)
        cfg = setup.config('simsiam_r18_search_cifar10')
        weights = dict(cfg.optim_wrapper.optimizer)
        for ours in ('type', 'fused'):
            weights.pop(ours, None)
        alpha = dict(cfg.default_hooks.alpha_step.optimizer)
        alpha.pop('type')
        self.optimizer = torch.optim.SGD(self.model.parameters(), **weights)
        self.alpha_optimizer = torch.optim.AdamW(self.model.arch_parameters(), **alpha)
        self.criterion = torch.nn.CosineSimilarity(dim=1)
        transform, _ = self.code._data_transforms_cifar(options)
        self.data = PILImages(
            load_array(array_path(setup.data_root, 'train_images')),
            self.code.simsiam.loader.TwoCropsTransform(transform),
        )
        # Their train() calls the module's search_step.
        self.code.search_step = self._timed(self.code.search_step)
        self.batches = iter(())

    def __call__(self) -> None:
        """Go one iteration."""
        with self.sections.section('loading'):
            batch = self.train_batch()
        with self.sections.section('weights'), contextlib.redirect_stdout(io.StringIO()):
            self.code.train(
                [batch], Fresh(self), self.model, self.criterion, self.optimizer,
                self.alpha_optimizer, 0, self.options,
            )  # fmt: skip

    def train_batch(self) -> Any:
        """Draw the next batch of the weights, in this process."""
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(self.loader('weights', 0))
            return next(self.batches)

    def loader(self, part: str, workers: int) -> DataLoader:
        """Make a loader of one half of the images, cut as theirs are."""
        half = len(self.data) // 2
        indices = range(half) if part == 'weights' else range(half, len(self.data))
        return DataLoader(
            self.data,
            batch_size=self.setup.batch_size,
            sampler=SubsetRandomSampler(indices),
            pin_memory=self.setup.device == 'cuda',
            num_workers=workers,
            drop_last=True,
        )

    def _timed(self, step: Any) -> Any:
        def search_step(*args: Any) -> Any:
            with self.sections.section('alpha'):
                return step(*args)

        return search_step


def import_main_search(folder: Path) -> ModuleType:
    """Import ``main_search.py``, and let its neighbours' names stand for this import alone."""
    path = folder / 'main_search.py'
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; give a checkout of the NASiam repository')
    tensorboard = ModuleType('torch.utils.tensorboard')
    tensorboard.SummaryWriter = None
    names = ('torch.utils.tensorboard', 'utils')
    before = {name: sys.modules.pop(name, None) for name in names}
    sys.modules['torch.utils.tensorboard'] = tensorboard
    sys.path.insert(0, str(folder))
    try:
        spec = importlib.util.spec_from_file_location('authors_main_search', path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(folder))
        for name, old in before.items():
            sys.modules.pop(name, None)
            if old is not None:
                sys.modules[name] = old
    return module
