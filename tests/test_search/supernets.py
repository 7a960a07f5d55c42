# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Supernets and held-out batches without a run around them."""

from contextlib import nullcontext
from types import SimpleNamespace

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from nasiam_mm.search.held_out import HeldOut
from tests.small import build


class Views(Dataset):
    """Two views of random images, by the key of a ``ReplaySampler``."""

    def __len__(self):
        return 24

    def __getitem__(self, key):
        row, seed = key
        generator = torch.Generator().manual_seed(seed % 2**31 + row)
        return torch.randn(2, 3, 8, 8, generator=generator)


def as_batch(samples):
    return dict(inputs=list(torch.stack(samples, 1)), data_samples=None)


class AsItIs(nn.Module):
    """A preprocessor of what is a batch already."""

    def forward(self, batch, training):
        dtype = next(iter(self.of)).dtype
        return dict(batch, inputs=[view.to(dtype) for view in batch['inputs']])


def held_out_of(model, batches=1):
    """Look at a model in 8 held-out images a batch."""
    model.data_preprocessor = AsItIs()
    model.data_preprocessor.of = [next(model.backbone.parameters())]
    wrapper = SimpleNamespace(optim_context=lambda model: nullcontext())
    runner = SimpleNamespace(model=model, seed=0, optim_wrapper=wrapper)
    loader = DataLoader(Views(), batch_size=8, collate_fn=as_batch)
    return HeldOut(runner, loader, batches)


def supernet(framework, **changes):
    """A small supernet in float64, amid training."""
    return build(framework, **changes).double()
