# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What makes a model fast to train: the layout of its weights, and ``torch.compile``."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import nn

from nasiam_mm.engine.running import unwrap
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class MemoryFormatHook(Hook):
    """Lay the weights of convolutions out NHWC where the data preprocessor does so with images.

    Otherwise each convolution would turn its weights around in every step. No result changes by a
    bit. A model of several processes stays as it is: its gradients' buckets are laid out already.
    """

    # Before anything compiles or copies the model.
    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Lay the weights out, after a checkpoint is loaded."""
        if is_model_wrapper(runner.model):
            return
        layout = getattr(runner.model.data_preprocessor, 'memory_format', torch.contiguous_format)
        if layout is torch.channels_last:
            runner.model.to(memory_format=layout)


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile the forward passes of a model's parts, each on its own.

    mmengine's ``compile=`` option wraps the whole training step, which ``torch.compile`` breaks at
    the backward pass. Here alpha step and weight step share the compiled modules; their hooks and
    the state dict stay as they are, and evaluation, whose batches have many sizes, runs the plain
    code. Results agree with the plain ones to rounding.

    Args:
        parts: Names of modules to compile; by default what the algorithm names
            as ``compilable``, otherwise backbone, neck and predictor.
        **options: Options of ``torch.compile``: ``mode='reduce-overhead'`` captures CUDA graphs.

    Raises:
        ValueError: Before training, if the model lacks such a part or a hook
            is of ``second_order``.
    """

    def __init__(self, parts: Sequence[str] | None = None, **options: Any) -> None:
        self.parts = parts
        self.options = {'dynamic': False, **options}

    def before_train(self, runner: Runner) -> None:
        """Put the compiled forward passes in place; compilation itself waits for the first step."""
        model = unwrap(runner.model)
        for hook in runner.hooks:
            if getattr(hook, 'second_order', False):
                raise ValueError(
                    'CompileHook: torch.compile cannot differentiate twice; remove the hook or set '
                    f'{type(hook).__name__}.second_order=False'
                )
        modules = dict(model.named_modules())
        names = self.parts
        if names is None:
            said = getattr(model, 'compilable', ('backbone', 'neck', 'head.predictor'))
            names = [name for name in said if name in modules]
        if missing := [name for name in names if name not in modules]:
            raise ValueError(f'CompileHook.parts: {type(model).__name__} has no {missing}')
        for name in names:
            module = modules[name]
            module.forward = _in_training(module, torch.compile(module.forward, **self.options))
        runner.logger.info(f'compiled for training: {", ".join(names)}')

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it was, to be copied and saved."""
        for module in runner.model.modules():
            if getattr(module.__dict__.get('forward'), 'is_compiled', False):
                del module.forward


def _in_training(module: nn.Module, compiled: Callable) -> Callable:
    plain = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return (compiled if module.training else plain)(*args, **kwargs)

    forward.is_compiled = True  # type: ignore[attr-defined]
    return forward
