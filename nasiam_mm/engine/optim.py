# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Who steps the weights, and in which precision."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from nasiam_mm.engine.running import unwrap
from nasiam_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Autocast to bfloat16, on the CPU too, without loss scaling.

    mmengine's ``AmpOptimWrapper`` asks for an accelerator; bfloat16 needs neither one nor a scaler,
    having the exponent range of float32. A CPU without instructions for bfloat16 would emulate it
    at several times the cost of float32: there the run stays in float32, and says so.

    Args:
        dtype: ``'bfloat16'``; float16 needs ``AmpOptimWrapper``'s scaler.
        **kwargs: See ``mmengine.optim.OptimWrapper``.

    Raises:
        ValueError: For another dtype.
    """

    def __init__(self, dtype: str = 'bfloat16', **kwargs) -> None:
        super().__init__(**kwargs)
        if dtype != 'bfloat16':
            raise ValueError(
                f"AutocastOptimWrapper.dtype must be 'bfloat16', got {dtype!r}; "
                'for float16 use AmpOptimWrapper on a GPU'
            )
        self.enabled = computes_bfloat16()
        if not self.enabled:
            print_log('this CPU has no bfloat16: training in float32', 'current', logging.WARNING)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass under autocast."""
        precision = autocast(device_type=get_device(), dtype=torch.bfloat16, enabled=self.enabled)
        with super().optim_context(model), precision:
            yield


def computes_bfloat16() -> bool:
    """Whether the device in use has instructions for bfloat16."""
    # torch asks oneDNN the same before it takes its kernels.
    return get_device() != 'cpu' or torch.ops.mkldnn._is_mkldnn_bf16_supported()


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class WeightOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, less what asks for no gradient.

    That is alpha, which asks for one in the alpha step alone, and momentum copies.
    ``paramwise_cfg.custom_keys`` match by substring, so they cannot keep a predictor's alpha out of
    a ``'predictor'`` group; taking it out of the finished groups does.

    ``paramwise_cfg.flat_options`` are options for the parameters of one
    dimension, biases and the scale and shift of BatchNorm: LARS recipes leave
    them out by ``dict(weight_decay=0.0, lars_exclude=True)``. A custom key
    ``'bn'`` would match the linear map of ``linear_bn_relu`` too.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        self.flat_options = paramwise_cfg.pop('flat_options', {})
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper over the trainable weights of the model.

        Raises:
            ValueError: If gradients add up over iterations, in each of which an
                average of the model would move.
        """
        optim_wrapper = super().__call__(model)
        algorithm = unwrap(model)
        pairs = getattr(algorithm, 'momentum_pairs', list)
        if optim_wrapper._accumulative_counts > 1 and pairs():
            raise ValueError(
                f'optim_wrapper.accumulative_counts is {optim_wrapper._accumulative_counts}, but '
                f'the average of {type(algorithm).__name__} moves in every iteration, not in every '
                'weight step; leave it out and enlarge the batch or add processes'
            )
        groups = optim_wrapper.optimizer.param_groups
        merged: dict[str, dict] = {}
        for group in groups:
            for weight in filter(lambda weight: weight.requires_grad, group['params']):
                options = {key: value for key, value in group.items() if key != 'params'}
                options.update(self.flat_options if weight.ndim == 1 else {})
                target = merged.setdefault(repr(options), {**options, 'params': []})
                target['params'].append(weight)
        # One group per setting, not per parameter: the optimizer steps a group at a time.
        groups[:] = list(merged.values())
        return optim_wrapper
