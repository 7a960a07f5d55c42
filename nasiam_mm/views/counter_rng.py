# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A counter-based random number generator: numbers as a pure function of a seed.

There is no state to save, split over ranks or restore: number k of stream s of seed x is always
the same, whatever else is drawn around it.
"""

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

# As int64: 2**64 / golden ratio, the odd increment of SplitMix64, and Stafford's constants "Mix13".
_GOLDEN = 0x9E3779B97F4A7C15 - 2**64
_WORD = 2**64 - 1
_MIX13 = 0xBF58476D1CE4E5B9 - 2**64, 0x94D049BB133111EB - 2**64


Whole = TypeVar('Whole', Tensor, np.ndarray)  # int64; of numpy where the calls are what costs


def _shift_right(x: Whole, bits: int) -> Whole:
    """Logical right shift of int64 (``>>`` repeats the sign bit)."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def mix64(x: Whole) -> Whole:
    """Scramble int64, read as unsigned, with the output function of SplitMix64.

    A bijection of the 64-bit integers (Steele, Lea and Flood, "Fast splittable pseudorandom number
    generators", 2014).
    """
    x = (x ^ _shift_right(x, 30)) * _MIX13[0]
    x = (x ^ _shift_right(x, 27)) * _MIX13[1]
    return x ^ _shift_right(x, 31)


def counter_uniform(seeds: Whole, draws: int, stream: int | Whole = 0) -> Whole:
    """Draw (N, D) float32, uniform multiples of 2**-24 in [0, 1), for each seed.

    Integer arithmetic that wraps on overflow, so CPU, CUDA and numpy agree bit for bit. Row i
    depends on ``seeds[i]`` and its stream alone, and its first numbers not on ``draws``.

    Args:
        seeds: (N,) int64, a tensor or an array, else ValueError; consecutive seeds are as good as
            random ones.
        draws: Numbers per seed, D.
        stream: Which of the independent sequences of a seed, or (N,) int64, one for each.
    """
    if seeds.dtype not in (torch.int64, np.int64) or seeds.ndim != 1:
        got = f'{seeds.dtype} of shape {tuple(seeds.shape)}'
        raise ValueError(f'seeds must be an int64 vector, got {got}')
    # The product of a vector wraps, that of a number does not.
    if isinstance(seeds, Tensor):
        counter = torch.arange(1, draws + 1, device=seeds.device) * _GOLDEN
        key = mix64(mix64(seeds) + torch.as_tensor(stream + 1) * _GOLDEN)
        return _shift_right(mix64(key[:, None] + counter), 40).to(torch.float32) * 2.0**-24
    key = mix64(mix64(seeds) + np.atleast_1d(np.asarray(stream + 1, np.int64)) * _GOLDEN)
    counter = np.arange(1, draws + 1) * _GOLDEN
    bits = _shift_right(mix64(key[:, None] + counter), 40)
    return bits.astype(np.float32) * np.float32(2.0**-24)


class CounterStream:
    """The numbers of one seed and stream one by one: those of :func:`counter_uniform`, exactly.

    In Python's integers: where a handful is wanted, calls on arrays take ten times as long.
    """

    def __init__(self, seed: int, stream: int = 0) -> None:
        self._key = _mixed((_mixed(seed & _WORD) + (stream + 1) * _GOLDEN) & _WORD)

    def __getitem__(self, number: int) -> float:
        """Number ``number``, from 0 on."""
        return (_mixed((self._key + (number + 1) * _GOLDEN) & _WORD) >> 40) * 2.0**-24


def _mixed(x: int) -> int:
    """Return what :func:`mix64` does, of a whole number below 2**64."""
    x = ((x ^ (x >> 30)) * _MIX13[0]) & _WORD
    x = ((x ^ (x >> 27)) * _MIX13[1]) & _WORD
    return x ^ (x >> 31)
