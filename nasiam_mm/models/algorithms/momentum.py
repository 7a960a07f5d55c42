# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Momentum copies of an encoder with a searched head."""

import torch
from mmengine.model import BaseAveragedModel
from torch import nn

from nasiam_mm.space import SearchCell


def follow_alpha(momentum_encoder: BaseAveragedModel, encoder: nn.Module) -> None:
    """Let the searched cells of a momentum copy mix as those of the encoder do.

    Their weights go on following by moving average; alpha does not lag behind
    and exists once (contract C4).

    Args:
        momentum_encoder: Copy of the encoder.
        encoder: The encoder it was copied from, of the same structure.
    """
    pairs = zip(
        momentum_encoder.module.named_modules(remove_duplicate=False),
        encoder.named_modules(remove_duplicate=False),
        strict=True,
    )
    for (name, copy), (_, online) in pairs:
        if isinstance(copy, SearchCell):
            copy.follow(online)
            del momentum_encoder.avg_parameters[f'{name}.alpha']


@torch.no_grad()
def start_equal(momentum_encoder: BaseAveragedModel, encoder: nn.Module) -> None:
    """Give a momentum copy the weights and statistics of the encoder.

    The copy is made before the weights are initialised; the averaging itself
    takes them over in the first weight step, after the first alpha step.

    Args:
        momentum_encoder: Copy of the encoder.
        encoder: The encoder it was copied from.
    """
    # A following cell has no alpha to take over.
    momentum_encoder.module.load_state_dict(encoder.state_dict(), strict=False)
