# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Moving averages of an encoder."""

from typing import Any

import torch
from mmengine.model import BaseAveragedModel
from torch import Tensor, nn


class HostNumber:
    """A whole number in a buffer of the device, read back only when others have changed it.

    A counter that the host itself moves need not be fetched from a GPU in every step. Loading a
    checkpoint or moving the module shows in the buffer's identity and version.
    """

    def __init__(self) -> None:
        self._known: tuple[Any, int, int] = (None, 0, 0)

    def read(self, buffer: Tensor) -> int:
        """Return the number that a buffer of one element holds."""
        seen, version, number = self._known
        if seen is not buffer or version != buffer._version:
            number = int(buffer)
            self._known = (buffer, buffer._version, number)
        return number

    def write(self, buffer: Tensor, number: int) -> None:
        """Put a number into the buffer."""
        buffer.fill_(number)
        self._known = (buffer, buffer._version, number)

    def __deepcopy__(self, memo: dict) -> 'HostNumber':
        return HostNumber()


@torch.no_grad()
def update_average(average: BaseAveragedModel, encoder: nn.Module, steps: HostNumber) -> None:
    """Move an average as its ``update_parameters(encoder)`` does, its step count not read back.

    ``steps`` is the number of updates so far, in ``average.steps``.
    """
    number = steps.read(average.steps)
    sources = dict(encoder.named_parameters())
    for name, mean in average.avg_parameters.items():
        if number == 0:
            mean.copy_(sources[name])
        elif number % average.interval == 0:
            average.avg_func(mean.data, sources[name].data, number)
    for buffer, source in zip(average.module.buffers(), encoder.buffers(), strict=True):
        buffer.copy_(source)
    steps.write(average.steps, number + 1)
