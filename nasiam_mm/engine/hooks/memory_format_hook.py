# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Weights laid out in memory as the images are."""

import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class MemoryFormatHook(Hook):
    """Lay the weights of convolutions out NHWC where the data preprocessor does so with images.

    Otherwise each convolution would turn its weights around in every step. No
    result changes by a bit. A model of several processes stays as it is: the
    buckets in which its gradients are exchanged are laid out already.
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
