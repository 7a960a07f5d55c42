# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Optimizer of the weights, which holds no alpha (contract C4)."""

from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from torch import nn

from nasiam_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class WeightOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, less what asks for no gradient.

    That is alpha, which asks for one in the alpha step alone, and momentum
    copies. ``paramwise_cfg.custom_keys`` match by substring, so they cannot
    keep a predictor's alpha out of a ``'predictor'`` group; taking it out of
    the finished groups does.
    """

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper over the trainable weights of the model."""
        optim_wrapper = super().__call__(model)
        groups = optim_wrapper.optimizer.param_groups
        merged: dict[str, dict] = {}
        for group in groups:
            options = {key: value for key, value in group.items() if key != 'params'}
            target = merged.setdefault(repr(options), {**options, 'params': []})
            target['params'] += [p for p in group['params'] if p.requires_grad]
        # One group per setting, not per parameter: the optimizer steps a group at a time.
        groups[:] = [group for group in merged.values() if group['params']]
        return optim_wrapper
