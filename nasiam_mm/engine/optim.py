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
    """Autocast to bfloat16, the only ``dtype``, on the CPU too, without loss scaling.

    mmengine's ``AmpOptimWrapper`` asks for an accelerator; bfloat16, of float32's exponent range,
    needs neither one nor a scaler. A CPU without instructions for it would emulate it at several
    times the cost of float32: there the run stays in float32, and says so.
    """

    def __init__(self, dtype: str = 'bfloat16', **kwargs) -> None:
        super().__init__(**kwargs)
        if dtype != 'bfloat16':
            got = f'got {dtype!r}; for float16 use AmpOptimWrapper on a GPU'
            raise ValueError(f"AutocastOptimWrapper.dtype must be 'bfloat16', {got}")
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

    That is alpha, which asks for one in the alpha step alone, and momentum copies. They are taken
    out of the finished groups: ``custom_keys`` match by substring and cannot keep a predictor's
    alpha out of a ``'predictor'`` group, nor ``'bn'`` leave ``linear_bn_relu``'s linear map out.

    ``paramwise_cfg.flat_options`` are options for the parameters of one dimension, biases and the
    scale and shift of BatchNorm, as LARS recipes have: ``dict(weight_decay=0.0,
    lars_exclude=True)``.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        self.flat_options = paramwise_cfg.pop('flat_options', {})
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper; ValueError if gradients add up while a model's average moves on."""
        wrapper, algorithm = super().__call__(model), unwrap(model)
        counts = wrapper._accumulative_counts
        if counts > 1 and getattr(algorithm, 'momentum_pairs', list)():
            but = f'the average of {type(algorithm).__name__} moves in every iteration'
            mend = 'leave it out and enlarge the batch or add processes'
            raise ValueError(f'optim_wrapper.accumulative_counts is {counts}, but {but}; {mend}')
        merged: dict[str, dict] = {}
        for group in wrapper.optimizer.param_groups:
            for weight in (weight for weight in group['params'] if weight.requires_grad):
                options = {key: value for key, value in group.items() if key != 'params'}
                options.update(self.flat_options if weight.ndim == 1 else {})
                merged.setdefault(repr(options), {**options, 'params': []})['params'].append(weight)
        # One group per setting, not per parameter: the optimizer steps a group at a time.
        wrapper.optimizer.param_groups[:] = list(merged.values())
        return wrapper
