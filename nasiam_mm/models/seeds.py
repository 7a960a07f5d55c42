# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Streams of random numbers of a model's parts (contract C16).

The first weights of a backbone are a function of (seed, backbone) alone, so
that runs of different heads with one seed begin alike and can be compared in
pairs.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def own_stream(name: str) -> Iterator[None]:
    """Draw from a stream of this name of the run's seed, and leave the run's own alone."""
    # What torch.manual_seed was last given: the run's seed.
    key = hashlib.sha256(f'{torch.initial_seed()}/{name}'.encode()).digest()
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int.from_bytes(key[:8], 'big') >> 1)
        yield
