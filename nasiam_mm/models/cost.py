# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a network costs to train, none of it allocated."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

import torch
from mmengine.registry import DefaultScope
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.registry import MODELS
from nasiam_mm.views.view_params import view_sides


class Cost(NamedTuple):
    """Weights that are trained, and FLOPs of one image's views, forward, loss included."""

    parameters: int
    flops: int


def training_cost(model: Mapping, size: int) -> Cost:
    """Count what the network of a model's config costs.

    FLOPs are of matrix products and convolutions, two a multiplication with addition; momentum
    copies count as often as they run. Views are two, or those that a list in the config's
    ``data_preprocessor.views`` says.

    Args:
        model: Config of an algorithm.
        size: Height and width of a view, of the largest ones, pixels.

    Raises:
        ValueError: If it cannot be built.
    """
    # A user's own parts are within reach of this package's scope, whatever called this.
    with weights_as_shapes(), DefaultScope.overwrite_default_scope('nasiam_mm'):
        network = MODELS.build(copy.deepcopy(dict(model)))
    network.to('meta').train()
    count = 2  # BatchNorm asks for two
    sides = view_sides((model.get('data_preprocessor') or {}).get('views'), size)
    with torch.device('meta'), torch.no_grad(), FlopCounterMode(display=False) as counter:
        views = [torch.empty(count, 3, side, side) for side in sides]
        network.loss(views, None, update_state=False)
    trained = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    return Cost(trained, counter.get_total_flops() // count)


@contextmanager
def weights_as_shapes() -> Iterator[None]:
    """Let modules be built whose weights are on the meta device: a check has not a run's memory."""
    honest = nn.Module.register_parameter

    def register(module: nn.Module, name: str, weight: nn.Parameter | None) -> None:
        if weight is not None:
            weight = nn.Parameter(weight.to('meta'), requires_grad=weight.requires_grad)
        honest(module, name, weight)

    # Nor is memory written to that is let go of at once, as deterministic runs would.
    deterministic = torch.utils.deterministic
    fills = deterministic.fill_uninitialized_memory
    deterministic.fill_uninitialized_memory = False
    try:
        with mock.patch.object(nn.Module, 'register_parameter', register):
            yield
    finally:
        deterministic.fill_uninitialized_memory = fills
