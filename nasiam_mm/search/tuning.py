# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A copy of a search's model to work on: layers that are fixed, statistics and weights tuned.

Shapes: L layers, K options of a head.
"""

import copy
from collections.abc import Callable, Mapping

import torch
from mmengine.dist import all_reduce
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasiam_mm.engine.running import unwrap
from nasiam_mm.models.backbones.base import ChoiceBackbone
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.search.batches import alpha_step_hook, weight_batches

# (head, layer) -> position of the one candidate that the layer is fixed to.
Fixed = Mapping[tuple[str, int], int]


def copy_of(model: nn.Module) -> nn.Module:
    """Copy a searched model with its alpha, without auxiliary branch and dropout on identities."""
    model = unwrap(model)
    # What belongs to the run and listens to the model is not copied with it.
    owners = {id(owner): owner for m in model.modules() for owner in _listeners(m).values()}
    twin = copy.deepcopy(model, dict(owners))
    for module in twin.modules():
        for key, owner in _listeners(module).items():
            if id(owner) in owners:
                del module._forward_hooks[key]
        if type(module).forward is not nn.Module.forward:
            # One put there since, compiled or checkpointed, would run the original's weights.
            module.__dict__.pop('forward', None)
    twin.architecture.auxiliary = twin.architecture.identity_dropout = 0.0
    return twin


def _listeners(module: nn.Module) -> dict[int, object]:
    """Objects, modules aside, whose methods hear of a module's output, by key of the hook."""
    found = {k: getattr(hook, '__self__', None) for k, hook in module._forward_hooks.items()}
    return {k: o for k, o in found.items() if o is not None and not isinstance(o, nn.Module)}


def with_fixed(weights: Mapping[str, Tensor], fixed: Fixed) -> dict[str, Tensor]:
    """Return the weights, (L, K) of each head, with 1 for what is fixed and 0 beside it."""
    found = {head: rows.detach().clone() for head, rows in weights.items()}
    for (head, layer), position in fixed.items():
        found[head][layer] = 0.0
        found[head][layer, position] = 1.0
    return found


def heads_of(model: nn.Module) -> list[HeadMLP]:
    """Heads of a model, searched or not, those of momentum encoders too."""
    return [module for module in model.modules() if isinstance(module, HeadMLP)]


def searched_backbones(model: nn.Module) -> list[ChoiceBackbone]:
    """Backbones whose operations are searched, those of momentum encoders too."""
    found = [module for module in model.modules() if isinstance(module, ChoiceBackbone)]
    return [backbone for backbone in found if backbone.is_searched]


def normalise_by_batch(model: nn.Module) -> None:
    """Let BatchNorm normalise by the batch, as in the alpha step, and all else evaluate."""
    model.train()  # not BatchNorm alone: a backbone may keep some of it frozen
    for module in model.modules():
        if not isinstance(module, _BatchNorm):
            module.training = False


@torch.no_grad()
def refit(model: nn.Module, run: Callable[[], None]) -> None:
    """Give BatchNorm of what depends on the path the statistics of what ``run`` puts through.

    Mean and unbiased variance of each forward pass, averaged over the passes, and fixed. A backbone
    that is not searched does not depend on the path and goes on normalising by the batch.
    """
    parts: list[nn.Module] = [*heads_of(model), *searched_backbones(model)]
    norms = [m for part in parts for m in part.modules() if isinstance(m, _BatchNorm)]
    kept = [norm.momentum for norm in norms]
    normalise_by_batch(model)
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average of all passes
    run()
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
        norm.eval()


class WeightSteps:
    """Steps of the weights of a copy, on the weight part, by the optimizer of the recipe.

    It begins without momentum, and its batches and draws go on from step to step.

    Args:
        runner: The run, which none of it touches.
        model: The copy.
        lr: Learning rate; None for that with which the run began. Groups keep their ratios.
    """

    def __init__(self, runner: Runner, model: nn.Module, lr: float | None = None) -> None:
        self.model, self.seed = model, runner.seed
        self.batches = weight_batches(runner)
        self.wrapper = build_optim_wrapper(model, runner.cfg.optim_wrapper)
        own = runner.optim_wrapper.optimizer.param_groups
        base = self.wrapper.optimizer.defaults['lr']
        for group, began in zip(self.wrapper.optimizer.param_groups, own, strict=True):
            if lr is None:
                group['lr'] = began.get('initial_lr', began['lr'])
            else:
                group['lr'] *= lr / base
        self.number = alpha_step_hook(runner).steps

    def take(self, count: int, fixed: Fixed) -> None:
        """Take some steps with the fixed layers as they are and the others as in the search."""
        owner = self.model.architecture
        self.model.train()
        for _ in range(count):
            owner.sample(self.seed, self.number, 'weights')
            self.number += 1
            weights = with_fixed({head: owner.weights(head) for head in owner.choices}, fixed)
            running = {
                head: tuple(
                    (fixed[head, n],) if (head, n) in fixed else row
                    for n, row in enumerate(owner.running(head))
                )
                for head in owner.choices
            }
            with owner.mixed_by(weights, running):
                for _ in range(self.wrapper._accumulative_counts):
                    self._add_gradient()
            for weight in self.model.parameters():
                if weight.grad is not None:
                    all_reduce(weight.grad, op='mean')
            self.wrapper.step()
            self.wrapper.zero_grad()

    def _add_gradient(self) -> None:
        data = self.model.data_preprocessor(next(self.batches), True)
        with self.wrapper.optim_context(self.model):
            losses = self.model.loss(data['inputs'], data['data_samples'])
        loss = self.model.parse_losses(losses)[0]
        self.wrapper.backward(self.wrapper.scale_loss(loss))
