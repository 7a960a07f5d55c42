# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Gradient of the loss with respect to alpha, and nothing else (contracts C1, C2).

The backbone does not depend on alpha. While the weights need no gradient
autograd records no graph before the first mixed layer, so the step costs one
forward pass and the backward pass through the heads without their weight
gradients, and the gradients equal those of the full graph bit for bit.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def only_alpha_learns(model: nn.Module, alphas: Sequence[nn.Parameter]) -> Iterator[None]:
    """Take every parameter but alpha out of the graph, and keep BatchNorm's statistics.

    BatchNorm goes on normalising with the statistics of the batch where it is
    in training mode; only the running estimates stand still.

    Args:
        model: An algorithm, not wrapped.
        alphas: Its architecture parameters.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    try:
        for weight in weights:
            weight.requires_grad_(False)
        for norm in norms:
            norm.track_running_stats = False
        for alpha in alphas:
            alpha.requires_grad_(True)
        yield
    finally:
        for alpha in alphas:
            alpha.requires_grad_(False)
        for weight in weights:
            weight.requires_grad_(True)
        for norm in norms:
            norm.track_running_stats = True


def alpha_gradients(
    model: nn.Module, data: dict, alphas: Sequence[nn.Parameter], scale: float = 1.0
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Compute the loss of a batch and its gradient with respect to alpha.

    First-order DARTS: the weights are taken as they are (NASiam, section 3.1;
    DARTS, eq. 6 with xi = 0).

    Args:
        model: An algorithm of mmpretrain, not wrapped.
        data: Preprocessed batch: ``inputs`` and ``data_samples``.
        alphas: Its architecture parameters, each (L, K).
        scale: Factor on the loss against underflow in float16; the gradients
            are divided by it again.

    Returns:
        The loss, (), detached, and one gradient per alpha, each (L, K).

    Raises:
        RuntimeError: If the loss changed a buffer of the model.
    """
    state = {name: (buffer, buffer._version) for name, buffer in model.named_buffers()}
    with only_alpha_learns(model, alphas):
        # update_state=False: algorithms with an EMA or a queue must leave them as they are.
        losses = model.loss(data['inputs'], data['data_samples'], update_state=False)
        loss, _ = model.parse_losses(losses)
        # autograd.grad leaves no .grad behind, which the weight step would add to its own.
        gradients = torch.autograd.grad(loss * scale, alphas)
    moved = [name for name, (buffer, version) in state.items() if buffer._version != version]
    if moved:
        raise RuntimeError(
            f"{type(model).__name__}.loss changed '{moved[0]}' in the alpha step; its loss must "
            'leave EMA, queue and counters alone when called with update_state=False'
        )
    return loss.detach(), tuple(gradient / scale for gradient in gradients)
