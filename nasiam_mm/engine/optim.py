# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Who steps the weights, and in which precision."""

import logging
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from mmengine.device import get_device
from mmengine.logging import print_log
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.runner.amp import autocast
from torch import Tensor, nn

from nasiam_mm.config_walk import type_name
from nasiam_mm.engine.running import unwrap
from nasiam_mm.models.heads import HeadMLP
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


def refuse_idle_keys(model: nn.Module, paramwise_cfg: Mapping[str, Any] | None) -> None:
    """Refuse with a ValueError custom keys that decide nothing of any weight of a model."""
    # As mmengine matches: by substring, the longest key first, which alone counts.
    keys = sorted(sorted((paramwise_cfg or {}).get('custom_keys') or {}), key=len, reverse=True)
    weights = [name for name, weight in model.named_parameters() if weight.requires_grad]
    # A head that was decided away has no weights, and the recipe is still right.
    weights += [n for n, m in model.named_modules() if isinstance(m, HeadMLP) and is_empty(m)]
    taken = {next((key for key in keys if key in name), None) for name in weights}
    if idle := [key for key in keys if key not in taken]:
        tops = ', '.join(dict.fromkeys(name.split('.')[0] for name in weights))
        raise ValueError(
            f'optim_wrapper.paramwise_cfg.custom_keys.{idle[0]} decides nothing: no trained weight '
            f'has {idle[0]!r} in its name and no longer key; names begin with {tops}'
        )


def is_empty(module: nn.Module) -> bool:
    """Whether a module has no parameters."""
    return next(module.parameters(), None) is None


def refuse_idle_factors(model: nn.Module, constructor: Any) -> None:
    """Refuse with a ValueError factors of learning rates that a constructor would not read."""
    factors = getattr(model, 'lr_factors', {})
    kind = constructor
    if isinstance(constructor, str):
        kind = OPTIM_WRAPPER_CONSTRUCTORS.get(constructor)
    if factors and not (kind and issubclass(kind, WeightOptimWrapperConstructor)):
        mend = "set optim_wrapper.constructor='WeightOptimWrapperConstructor'"
        raise ValueError(f'nothing reads the learning rate decided for {min(factors)}; {mend}')


def refuse_fast_average(model: nn.Module, counts: int) -> None:
    """Refuse with a ValueError a moving average that would outrun steps of several iterations."""
    if counts > 1 and getattr(model, 'momentum_pairs', list)():
        but = f'the average of {type(model).__name__} moves in every iteration'
        mend = 'leave it out and enlarge the batch or add processes'
        raise ValueError(f'optim_wrapper.accumulative_counts is {counts}, but {but}; {mend}')


def optimizer_misfits(
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    begun: bool,
    resting: Collection[Tensor] = (),
) -> Iterator[str]:
    """Name what does not fit of an optimizer's saved state, which torch takes by position.

    Args:
        optimizer: The one that is to take it.
        state: What its ``state_dict`` gave.
        begun: Whether it had made a step.
        resting: Weights that it may have left out of every step so far.
    """
    groups, values = state.get('param_groups'), state.get('state')
    if not isinstance(groups, list) or not isinstance(values, Mapping):
        yield 'its optimizer holds no groups or no state'
        return
    counts = [[len(g['params']) for g in there] for there in (groups, optimizer.param_groups)]
    if counts[0] != counts[1]:
        yield f'its optimizer has {counts[0]} parameters in its groups, not {counts[1]}'
        return
    number, rest = 0, {id(weight) for weight in resting}
    for group in optimizer.param_groups:
        stepped = [weight for weight in group['params'] if id(weight) not in rest]
        kept = _kept_by(optimizer, group) if begun and group['params'] else set()
        numbers = range(number, number := number + len(group['params']))
        if stepped and kept and not any(values.get(n) for n in numbers):
            yield f'its optimizer holds no {min(kept)} of any weight'
        for n, parameter in zip(numbers, group['params'], strict=True):
            # A weight without a gradient, such as of an operation not drawn, has no state.
            found = values.get(n) or {}
            if found and (lost := kept - found.keys()):
                yield f'{min(lost)} of its optimizer for parameter {n} is missing'
            for name, value in found.items():
                if name in kept and not isinstance(value, (Tensor, int, float)):
                    yield f'{name} of its optimizer for parameter {n} is of another type'
                # A count of steps has no dimension.
                elif isinstance(value, Tensor) and value.dim() and value.shape != parameter.shape:
                    shapes = f'{tuple(value.shape)}, not {tuple(parameter.shape)}'
                    yield f'{name} of its optimizer for parameter {n} is {shapes}'


def _kept_by(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> set[str]:
    """Return the names of what an optimizer keeps of a weight, by a step of a twin."""
    weight = nn.Parameter(torch.ones_like(group['params'][0].flatten()[:1]))
    weight.grad = torch.ones_like(weight)
    twin = object.__new__(type(optimizer))
    twin.__dict__ = {**vars(optimizer), 'state': defaultdict(dict)}
    twin.param_groups = [{**group, 'params': [weight]}]
    type(optimizer).step(twin)
    return {name for name, value in twin.state[weight].items() if value is not None}


def computes_bfloat16() -> bool:
    """Whether the device in use has instructions for bfloat16."""
    # torch asks oneDNN the same before it takes its kernels.
    return get_device() != 'cpu' or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def begin_momentum(optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:
    """Give each weight its momentum buffer, so that not all need a gradient from the first step on.

    torch's fused SGD takes either none or all of them to have one; zeros change no step.
    """
    for group in optimizer.param_groups:
        if group.get('fused') and group.get('momentum'):
            for weight in group['params']:
                if optimizer.state[weight].get('momentum_buffer') is None:
                    optimizer.state[weight]['momentum_buffer'] = torch.zeros_like(weight)


def as_trained(cfg: Mapping[str, Any]) -> AbstractContextManager:
    """Compute features as a run of this config trains: in bfloat16 where it does, else in float32.

    float16, whose range is narrow, is left to training and its loss scaling.
    """
    wrapper = cfg.get('optim_wrapper') or {}
    kind = type_name(wrapper) if isinstance(wrapper, Mapping) else None
    is_coarse = kind == 'AutocastOptimWrapper' or (
        kind == 'AmpOptimWrapper' and wrapper.get('dtype') == 'bfloat16'
    )
    if not is_coarse or not computes_bfloat16():
        return nullcontext()
    return autocast(device_type=get_device(), dtype=torch.bfloat16)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class WeightOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor, less what asks for no gradient.

    That is alpha, which asks for one in the alpha step alone, and momentum copies. They are taken
    out of the finished groups: ``custom_keys`` match by substring and cannot keep a predictor's
    alpha out of a ``'predictor'`` group, nor ``'bn'`` leave ``linear_bn_relu``'s linear map out.

    ``paramwise_cfg.flat_options`` are options for the parameters of one dimension, biases and the
    scale and shift of BatchNorm, as LARS recipes have: ``dict(weight_decay=0.0,
    lars_exclude=True)``. What the model's ``lr_factors`` say of a part multiplies the rate of its
    weights.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        paramwise_cfg = dict(paramwise_cfg or {})
        self.flat_options = paramwise_cfg.pop('flat_options', {})
        super().__init__(optim_wrapper_cfg, paramwise_cfg)

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the wrapper; ValueError for an idle key, or an average that outruns the step."""
        refuse_idle_keys(unwrap(model), self.paramwise_cfg)
        wrapper, algorithm = super().__call__(model), unwrap(model)
        refuse_fast_average(algorithm, wrapper._accumulative_counts)
        factors = {
            weight: factor
            for part, factor in getattr(algorithm, 'lr_factors', {}).items()
            for weight in algorithm.get_submodule(part).parameters()
        }
        merged: dict[str, dict] = {}
        for group in wrapper.optimizer.param_groups:
            for weight in (weight for weight in group['params'] if weight.requires_grad):
                options = {key: value for key, value in group.items() if key != 'params'}
                options.update(self.flat_options if weight.ndim == 1 else {})
                options['lr'] *= factors.get(weight, 1)
                merged.setdefault(repr(options), {**options, 'params': []})['params'].append(weight)
        # One group per setting, not per parameter: the optimizer steps a group at a time.
        wrapper.optimizer.param_groups[:] = list(merged.values())
        if getattr(getattr(algorithm, 'architecture', None), 'sampled_in', ()):
            wrapper.optimizer.register_step_pre_hook(begin_momentum)
        return wrapper
