# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Gradient of the loss with respect to alpha, and nothing else (contracts C1, C2).

The backbone does not depend on alpha. While the weights need no gradient
autograd records no graph before the first mixed layer, so the step costs one
forward pass and the backward pass through the heads without their weight
gradients, and the gradients equal those of the full graph bit for bit.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def statistics_stand_still(model: nn.Module) -> Iterator[None]:
    """Keep BatchNorm's running statistics, bit for bit.

    BatchNorm goes on normalising with the statistics of the batch, and moving
    its running ones, which are put back after: without buffers to move it
    takes other kernels, whose bfloat16 results differ.

    Raises:
        RuntimeError: If anything within changed another buffer of the model.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    moving = [b for norm in norms for b in norm.buffers(recurse=False)]
    kept = [buffer.clone() for buffer in moving]
    those = {id(buffer) for buffer in moving}
    state = {
        name: (buffer, buffer._version)
        for name, buffer in model.named_buffers()
        if id(buffer) not in those
    }
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in zip(moving, kept, strict=True):
                buffer.copy_(value)
    moved = [name for name, (buffer, version) in state.items() if buffer._version != version]
    if moved:
        raise RuntimeError(
            f"{type(model).__name__}.loss changed '{moved[0]}' in the alpha step; its loss must "
            'leave EMA, queue and counters alone when called with update_state=False'
        )


@contextmanager
def asks_for_gradient(tensors: Sequence[Tensor], value: bool) -> Iterator[None]:
    """Set ``requires_grad`` of parameters or buffers, and turn it back after."""
    try:
        for tensor in tensors:
            tensor.requires_grad_(value)
        yield
    finally:
        for tensor in tensors:
            tensor.requires_grad_(not value)


@contextmanager
def only_alpha_learns(model: nn.Module, alphas: Sequence[Tensor]) -> Iterator[None]:
    """Take every parameter but alpha out of the graph, and keep BatchNorm's statistics.

    Args:
        model: An algorithm, not wrapped.
        alphas: Its architecture parameters.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    with (
        asks_for_gradient(weights, False),
        asks_for_gradient(alphas, True),
        statistics_stand_still(model),
    ):
        yield


def alpha_gradients(
    model: nn.Module, data: dict, alphas: Sequence[Tensor], scale: float = 1.0
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
    with only_alpha_learns(model, alphas):
        loss = _PureLoss(model)(data)
        # autograd.grad leaves no .grad behind, which the weight step would add to its own.
        gradients = torch.autograd.grad(loss * scale, alphas)
    return loss.detach(), tuple(gradient / scale for gradient in gradients)


def unrolled_alpha_gradients(
    model: nn.Module,
    data: dict,
    train_data: dict,
    alphas: Sequence[Tensor],
    learning_rates: Mapping[nn.Parameter, float],
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Compute the gradient through one virtual weight step (DARTS, eq. 7).

    ``d/d alpha L_val(w - xi * grad_w L_train(w, alpha), alpha)``, by
    differentiating twice, without the finite difference of DARTS, eq. 8. What
    the loss detaches (targets, keys) is a constant at both levels. It costs the
    full graph of both passes.

    Args:
        model: An algorithm of mmpretrain, not wrapped.
        data: Preprocessed batch of the held-out part.
        train_data: Preprocessed batch of the weight part.
        alphas: Architecture parameters, each (L, K).
        learning_rates: Weight -> xi, the learning rate of its next step.

    Returns:
        The loss on ``data`` after the virtual step, (), detached, and one
        gradient per alpha, each (L, K).

    Raises:
        RuntimeError: If the loss changed a buffer of the model.
    """
    loss_of = _PureLoss(model)
    weights = {name: p for name, p in loss_of.named_parameters() if p.requires_grad}
    with asks_for_gradient(alphas, True), statistics_stand_still(model):
        gradients = torch.autograd.grad(
            loss_of(train_data), weights.values(), create_graph=True, materialize_grads=True
        )
        gradients = _mean_over_processes(gradients)
        stepped = {
            name: weight - learning_rates[weight] * gradient
            for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
        }
        loss = functional_call(loss_of, stepped, (data,))
        return loss.detach(), torch.autograd.grad(loss, alphas)


def _mean_over_processes(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Average as the weight step does, and differentiably."""
    if get_world_size() == 1:
        return tensors
    # One message in place of one per weight.
    mean = all_reduce(torch.cat([tensor.flatten() for tensor in tensors])) / get_world_size()
    parts = mean.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]


class _PureLoss(nn.Module):
    """The loss of an algorithm as a module, without its side effects."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, data: dict) -> Tensor:
        # update_state=False: algorithms with an EMA or a queue must leave them as they are.
        losses = self.model.loss(data['inputs'], data['data_samples'], update_state=False)
        return self.model.parse_losses(losses)[0]
