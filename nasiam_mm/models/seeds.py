# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Streams of random numbers of a model's parts."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_stream(name: str) -> Iterator[None]:
    """Draw from a stream of this name of the run's seed, and leave the run's own alone.

    First weights are then a function of the seed and the part alone (contract C16): runs of
    different heads begin with one backbone and can be compared in pairs.
    """
    # What torch.manual_seed was last given: the run's seed.
    key = hashlib.sha256(f'{torch.initial_seed()}/{name}'.encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(key[:8], 'big') >> 1)
        yield
