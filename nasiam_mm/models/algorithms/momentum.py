# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Moving averages of an encoder."""

import torch
from mmengine.model import BaseAveragedModel
from torch import Tensor, nn


@torch.no_grad()
def start_equal(momentum_encoder: BaseAveragedModel, encoder: nn.Module) -> None:
    """Give a momentum copy the weights and statistics of the encoder.

    The copy is made before the weights are initialised; the averaging itself
    takes them over in the first weight step, after the first alpha step.

    Args:
        momentum_encoder: Copy of the encoder.
        encoder: The encoder it was copied from.
    """
    momentum_encoder.module.load_state_dict(encoder.state_dict())


class HostNumber:
    """A whole number in a buffer of the device, read back only when others have changed it.

    A counter that the host itself moves need not be fetched from a GPU in every
    step. What loads a checkpoint or moves the module is noticed by the buffer's
    identity and version.
    """

    def __init__(self) -> None:
        self._known: tuple[Tensor, int, int] | None = None

    def read(self, buffer: Tensor) -> int:
        """Return the number that a buffer of one element holds."""
        if self._known is not None:
            seen, version, number = self._known
            if seen is buffer and version == buffer._version:
                return number
        self._known = (buffer, buffer._version, int(buffer))
        return self._known[2]

    def write(self, buffer: Tensor, number: int) -> None:
        """Put a number into the buffer."""
        buffer.fill_(number)
        self._known = (buffer, buffer._version, number)

    def __deepcopy__(self, memo: dict) -> 'HostNumber':
        return HostNumber()


@torch.no_grad()
def update_average(
    momentum_encoder: BaseAveragedModel, encoder: nn.Module, steps: HostNumber
) -> None:
    """Move a momentum copy as ``update_parameters`` does, without reading its step count back.

    Args:
        momentum_encoder: Copy of the encoder.
        encoder: The encoder that it follows.
        steps: Number of updates so far, in ``momentum_encoder.steps``.
    """
    number = steps.read(momentum_encoder.steps)
    sources = dict(encoder.named_parameters())
    for name, average in momentum_encoder.avg_parameters.items():
        if number == 0:
            average.copy_(sources[name])
        elif number % momentum_encoder.interval == 0:
            momentum_encoder.avg_func(average.data, sources[name].data, number)
    for buffer, source in zip(momentum_encoder.module.buffers(), encoder.buffers(), strict=True):
        buffer.copy_(source)
    steps.write(momentum_encoder.steps, number + 1)
