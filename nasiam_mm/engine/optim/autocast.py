# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Mixed precision without an accelerator."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from torch import nn

from nasiam_mm.registry import OPTIM_WRAPPERS


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Autocast to bfloat16, on the CPU too, without loss scaling.

    mmengine's ``AmpOptimWrapper`` asks for an accelerator; bfloat16 needs
    neither one nor a scaler, having the exponent range of float32.

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

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the forward pass under autocast."""
        with super().optim_context(model), autocast(device_type=get_device(), dtype=torch.bfloat16):
            yield
