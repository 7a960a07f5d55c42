# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Gradient of the loss with respect to alpha, and nothing else (contracts C1, C2).

While the weights need no gradient autograd records no graph before the first mixed layer. Where
heads alone are searched that is behind the backbone: the step costs one forward pass and the
backward pass through the heads without weight gradients. A searched backbone is gone back through
from its own first mixed layer. Either way the gradients equal those of the full graph bit for bit.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from mmengine.dist import get_world_size
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def statistics_stand_still(model: nn.Module) -> Iterator[None]:
    """Keep BatchNorm's running statistics, bit for bit.

    BatchNorm goes on normalising with the statistics of the batch, and moving its running ones,
    which are put back after: without buffers to move it takes other kernels, whose bfloat16
    results differ. RuntimeError if anything within changed another buffer of the model.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]
    kept = {b: b.clone() for norm in norms for b in norm.buffers(recurse=False)}
    still = [(name, b, b._version) for name, b in model.named_buffers() if b not in kept]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in kept.items():
                buffer.copy_(value)
    if moved := [name for name, buffer, version in still if buffer._version != version]:
        what = f"{type(model).__name__}.loss changed '{moved[0]}' in the alpha step"
        raise RuntimeError(f'{what}; with update_state=False it must leave EMA, queue and counters')


@contextmanager
def _learning(tensors: Sequence[Tensor], value: bool) -> Iterator[None]:
    """Set ``requires_grad`` of parameters or buffers, and turn it back after."""
    try:
        for tensor in tensors:
            tensor.requires_grad_(value)
        yield
    finally:
        for tensor in tensors:
            tensor.requires_grad_(not value)


# What is added to the loss of the held-out batch: of that loss, (), and of z, each view's (N, D).
Penalty = Callable[[Tensor, Sequence[Tensor]], Tensor]


class _PureLoss(nn.Module):
    """The loss of an algorithm as a module, without its side effects."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, data: dict) -> Tensor:
        # update_state=False: algorithms with an EMA or a queue must leave them as they are.
        losses = self.model.loss(data['inputs'], data['data_samples'], update_state=False)
        return self.model.parse_losses(losses)[0]

    def penalised(self, penalty: Penalty | None, take: Callable[[], Tensor]) -> tuple:
        """Return the loss that ``take`` computes, and it with the penalty."""
        if penalty is None:
            return (loss := take()), loss
        embeddings: list[Tensor] = []

        def listen(module: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
            embeddings.append(output[0] if isinstance(output, (tuple, list)) else output)

        handle = self.model.embedding.register_forward_hook(listen)
        try:
            loss = take()
        finally:
            handle.remove()
        return loss, loss + penalty(loss, embeddings)


def alpha_gradients(
    model: nn.Module,
    data: dict,
    alphas: Sequence[Tensor],
    scale: float = 1.0,
    penalty: Penalty | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Compute the loss of a batch, (), detached, and its gradient to each alpha, (L, K).

    First-order DARTS: the weights are taken as they are (NASiam, section 3.1; DARTS, eq. 6 with
    xi = 0). RuntimeError if the loss changed a buffer of the model.

    Args:
        model: An algorithm of mmpretrain, not wrapped.
        data: Preprocessed batch: ``inputs`` and ``data_samples``.
        alphas: Its architecture parameters, each (L, K).
        scale: Factor on the loss against underflow in float16; the gradients are divided by it.
        penalty: What the gradients are of besides; the loss returned is without it.
    """
    weights = [p for p in model.parameters() if p.requires_grad]
    with _learning(weights, False), _learning(alphas, True), statistics_stand_still(model):
        loss_of = _PureLoss(model)
        loss, whole = loss_of.penalised(penalty, lambda: loss_of(data))
        # autograd.grad leaves no .grad behind, which the weight step would add to its own.
        gradients = torch.autograd.grad(whole * scale, alphas)
    return loss.detach(), tuple(gradient / scale for gradient in gradients)


# Weight, its gradient -> the change that a virtual step makes to it, all of one shape.
VirtualStep = Callable[[Tensor, Tensor], Tensor]


def unrolled_alpha_gradients(
    model: nn.Module,
    data: dict,
    train: dict,
    alphas: Sequence[Tensor],
    step: VirtualStep,
    scale: float = 1.0,
    penalty: Penalty | None = None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Compute the gradient through one virtual weight step (DARTS, eq. 7).

    ``d/d alpha L_val(w - step(w, grad_w L_train(w, alpha)), alpha)``, by differentiating twice,
    without the finite difference of DARTS, eq. 8. What the loss detaches (targets, keys) is a
    constant at both levels. It costs the full graph of both passes.

    As :func:`alpha_gradients`, with ``train``, a batch of the weight part, and ``step``, what the
    optimizer of the weights would subtract; ``scale`` is a factor on both losses.
    """
    loss_of = _PureLoss(model)
    weights = {name: p for name, p in loss_of.named_parameters() if p.requires_grad}
    # A transformer's fused attention has no second derivative.
    attention = sdpa_kernel(SDPBackend.MATH)
    with attention, _learning(alphas, True), statistics_stand_still(model):
        gradients = torch.autograd.grad(
            loss_of(train) * scale, weights.values(), create_graph=True, materialize_grads=True
        )
        pairs = zip(weights.items(), _mean_over_processes(gradients), strict=True)
        stepped = {name: w - step(w, gradient / scale) for (name, w), gradient in pairs}
        loss, whole = loss_of.penalised(penalty, lambda: functional_call(loss_of, stepped, (data,)))
        gradients = torch.autograd.grad(whole * scale, alphas)
        return loss.detach(), tuple(gradient / scale for gradient in gradients)


def virtual_step(optimizer: torch.optim.Optimizer, with_state: bool = False) -> VirtualStep:
    """Return the virtual step of an optimizer of weights: its learning rate times the gradient.

    ``with_state`` adds SGD's weight decay and momentum, ``lr (mu buf + g + wd w)``, as DARTS' own
    code does (its paper leaves them out); ValueError for an optimizer that is not SGD.
    """
    groups = {p: group for group in optimizer.param_groups for p in group['params']}
    if not with_state:
        return lambda w, gradient: groups[w]['lr'] * gradient
    check_whole_step(type(optimizer))

    def step(w: Tensor, gradient: Tensor) -> Tensor:
        group, moved = groups[w], optimizer.state.get(w, {}).get('momentum_buffer')
        direction = gradient + group['weight_decay'] * w
        if group['momentum'] and moved is not None:
            slowed = group['momentum'] * moved + (1 - group['dampening']) * direction
            nesterov = direction + group['momentum'] * slowed
            direction = nesterov if group['nesterov'] else slowed
        elif group['momentum'] and group['nesterov']:
            direction = (1 + group['momentum']) * direction
        return group['lr'] * direction

    return step


def check_whole_step(kind: type) -> None:
    """Refuse, with a ValueError, an optimizer of weights that has no whole virtual step."""
    if not issubclass(kind, torch.optim.SGD):
        told = f"second_order='sgd' unrolls a step of SGD; the weights' is {kind.__name__}"
        raise ValueError(f'{told}; set default_hooks.alpha_step.second_order=True')


def _mean_over_processes(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
    """Average as the weight step does, and differentiably."""
    if get_world_size() == 1:
        return tensors
    # One message in place of one per weight.
    mean = all_reduce(torch.cat([tensor.flatten() for tensor in tensors])) / get_world_size()
    parts = mean.split([tensor.numel() for tensor in tensors])
    return [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
