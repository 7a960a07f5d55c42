# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Similarities and losses in float32, whatever precision the networks compute in.

Rounded to bfloat16, a cosine at temperature 0.05 bends the gradient by some percent.
"""

from contextlib import AbstractContextManager, nullcontext
from math import inf
from typing import Any

import mmpretrain.models as mmpretrain_models
import torch
from torch import Tensor

from nasiam_mm.registry import MODELS


def in_float32(tensor: Tensor) -> AbstractContextManager:
    """Switch autocast off on the device of a tensor; operands are still to be cast."""
    if tensor.device.type == 'meta':  # has no autocast
        return nullcontext()
    return torch.autocast(tensor.device.type, enabled=False)


def lift(tensor: Tensor) -> Tensor:
    """Cast to float32 what is coarser."""
    return tensor if tensor.dtype == torch.float64 else tensor.float()


def refuse_numbers(owner: str, positive: bool = False, **numbers: Any) -> None:
    """Refuse, with a ValueError, settings of a loss that are no finite numbers from 0 up.

    Args:
        owner: What they are settings of, for the line.
        positive: Whether 0 is none of them either.
        **numbers: The settings.
    """
    least = 'a positive number' if positive else 'a number of at least 0'
    for name, number in numbers.items():
        is_number = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not is_number or not 0 <= number < inf or (positive and number == 0):
            raise ValueError(f'{owner}.{name} must be {least}, got {number!r:.80}')


@MODELS.register_module()
class CosineSimilarityLoss(mmpretrain_models.CosineSimilarityLoss):
    """mmpretrain's negative cosine, in float32.

    It is built as :class:`mmpretrain.models.CosineSimilarityLoss` is.
    """

    def forward(self, pred: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map two of (N, C) to the mean loss, ()."""
        with in_float32(pred):
            return super().forward(lift(pred), lift(target), mask)
