# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A counter-based random number generator: numbers as a pure function of a seed.

There is no state to save, split over ranks or restore: number k of stream s of
seed x is always the same, whatever else is drawn around it.
"""

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio, the odd increment of SplitMix64


def _signed(value: int) -> int:
    """Reinterpret the low 64 bits of an integer as int64."""
    return (value + 2**63) % 2**64 - 2**63


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64 (torch's own ``>>`` repeats the sign bit)."""
    return (x >> bits).bitwise_and_((1 << (64 - bits)) - 1)


def mix64(x: Tensor) -> Tensor:
    """Scramble 64-bit integers with the output function of SplitMix64.

    A bijection of the 64-bit integers (Steele, Lea and Flood, "Fast splittable
    pseudorandom number generators", 2014, with Stafford's constants "Mix13").

    Args:
        x (Tensor): int64, any shape, read as unsigned.

    Returns:
        Tensor: int64, same shape.
    """
    x = (x ^ _shift_right(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shift_right(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shift_right(x, 31)


def counter_uniform(seeds: Tensor, draws: int, stream: int | Tensor = 0) -> Tensor:
    """Draw uniform numbers for each seed.

    Integer arithmetic that wraps on overflow, so CPU and CUDA agree bit for
    bit. Row i depends on ``seeds[i]`` and its stream alone, and its first
    numbers do not depend on ``draws``.

    Args:
        seeds (Tensor): (N,) int64; consecutive seeds are as good as random ones.
        draws (int): Numbers per seed, D.
        stream (int | Tensor): Which of the independent sequences of a seed, or
            (N,) int64, one for each. Defaults to 0.

    Returns:
        Tensor: (N, D) float32, multiples of 2**-24 in [0, 1).

    Raises:
        ValueError: If ``seeds`` is not a vector of int64.
    """
    if seeds.dtype != torch.int64 or seeds.dim() != 1:
        raise ValueError(
            f'seeds must be an int64 vector, got {seeds.dtype} of shape {tuple(seeds.shape)}'
        )
    if isinstance(stream, Tensor):
        offset = (stream + 1) * _signed(_GOLDEN)
    else:
        offset = _signed(_GOLDEN * (stream + 1))
    key = mix64(mix64(seeds) + offset)
    counter = torch.arange(1, draws + 1, device=seeds.device) * _signed(_GOLDEN)
    bits = mix64(key[:, None] + counter)
    return _shift_right(bits, 40).to(torch.float32) * 2.0**-24
