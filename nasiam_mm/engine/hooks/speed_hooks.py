# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What makes training fast: weights laid out, ``torch.compile``, no waiting, or to know of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.hooks import Hook, IterTimerHook, RuntimeInfoHook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from nasiam_mm.engine.running import is_logged, unwrap
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class MemoryFormatHook(Hook):
    """Lay the weights of convolutions out NHWC where the data preprocessor does so with images.

    Else each convolution would turn its weights around in every step. No result changes by a bit. A
    wrapped model stays as it is, as buckets of its gradients are laid out already; ``NasiamRunner``
    turns its weights around before it wraps it.
    """

    # Before anything compiles or copies the model.
    priority = 'VERY_HIGH'

    def before_train(self, runner: Runner) -> None:
        """Lay the weights out, after a checkpoint is loaded."""
        if not is_model_wrapper(runner.model):
            lay_out(runner.model)


def lay_out(model: nn.Module) -> None:
    """Lay the weights of a model out as its data preprocessor lays out images."""
    preprocessor = getattr(model, 'data_preprocessor', None)
    if getattr(preprocessor, 'memory_format', None) is torch.channels_last:
        model.to(memory_format=torch.channels_last)


@contextmanager
def drawn_in_order(model: nn.Module) -> Iterator[None]:
    """Lay weights out plainly within: random numbers fill a tensor as it lies in memory."""
    laid_out = {p: p.data for p in model.parameters() if not p.is_contiguous()}
    for weight, data in laid_out.items():
        weight.data = data.contiguous()
    yield
    for weight, data in laid_out.items():
        # In its old place, which a wrapper may know.
        weight.data = data.copy_(weight.data)


@HOOKS.register_module()
class DataWaitTimerHook(IterTimerHook):
    """mmengine's timer; logs ``data_wait`` too, the percentage of an iteration that is waiting.

    Above a few percent more workers or a faster disk pay, below them they do not.
    """

    def _after_iter(self, runner: Runner, *args: Any, mode: str = 'train', **kwargs: Any) -> None:
        super()._after_iter(runner, *args, mode=mode, **kwargs)
        hub = runner.message_hub
        waited, whole = (
            hub.get_scalar(f'{mode}/{what}').current() for what in ('data_time', 'time')
        )
        hub.update_scalar(f'{mode}/data_wait', 100 * waited / max(whole, 1e-9))


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile the forward passes of what the model names as ``compilable``, each on its own.

    mmengine's ``compile=`` option wraps the whole training step, which ``torch.compile`` breaks at
    the backward pass. Here alpha step and weight step share the compiled modules; their hooks and
    the state dict stay, and evaluation, whose batches have many sizes, runs the plain code. Results
    agree to rounding. ``options`` are those of ``torch.compile``: ``mode='reduce-overhead'``
    captures CUDA graphs. ValueError before training if a hook is of ``second_order``.
    """

    def __init__(self, **options: Any) -> None:
        self.options = {'dynamic': False, **options}

    def before_train(self, runner: Runner) -> None:
        """Put the compiled forward passes in place; compilation itself waits for the first step."""
        for hook in runner.hooks:
            if getattr(hook, 'second_order', False):
                mend = f'remove the hook or set {type(hook).__name__}.second_order=False'
                raise ValueError(f'CompileHook: torch.compile cannot differentiate twice; {mend}')
        model = unwrap(runner.model)
        named = getattr(model, 'compilable', ('backbone', 'neck', 'head.predictor'))
        self.compiled = {name: part for name, part in model.named_modules() if name in named}
        for module in self.compiled.values():
            module.forward = _in_training(module, torch.compile(module.forward, **self.options))
        runner.logger.info(f'compiled for training: {", ".join(self.compiled)}')

    def after_train(self, runner: Runner) -> None:
        """Leave the model as it was, to be copied and saved."""
        for module in self.compiled.values():
            del module.forward


def _in_training(module: nn.Module, compiled: Callable) -> Callable:
    plain = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return (compiled if module.training else plain)(*args, **kwargs)

    return forward


@HOOKS.register_module()
class BufferedRuntimeInfoHook(RuntimeInfoHook):
    """mmengine's hook, without a wait for the device and without growing cost.

    The stock hook reads every loss at once, which makes the host wait for a GPU, and appends it to
    a history that is copied whole. This one reads the same values when a ``LoggerHook`` logs and
    before a checkpoint. Histories of training scalars keep what the log processor looks back on, at
    least ``min_history`` values.
    """

    min_history = 1000
    _pending: dict[str, list[Any]] = {}

    def before_train(self, runner: Runner) -> None:
        """Find out over how many iterations the log processor takes statistics."""
        super().before_train(runner)
        log = runner.log_processor
        lengths = {'epoch': len(runner.train_dataloader), 'global': runner.max_iters}
        windows = [log.window_size, *(i.get('window_size', 0) for i in log.custom_cfg)]
        self._kept = max(self.min_history, *(lengths.get(window, window) for window in windows))
        self._pending = {}

    def after_train_iter(self, runner: Runner, batch_idx, data_batch=None, outputs=None) -> None:
        """Keep the losses; read them where they are about to be logged."""
        for name, value in (outputs or {}).items():
            # Detached: the loss would keep the graph of its iteration alive.
            kept = value.detach() if isinstance(value, Tensor) else value
            self._pending.setdefault(f'train/{name}', []).append(kept)
        if is_logged(runner, batch_idx):
            self._flush(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Complete the message hub of the checkpoint."""
        if self._pending:
            self._flush(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()

    def _flush(self, runner: Runner) -> None:
        for name, values in self._pending.items():
            if all(isinstance(value, Tensor) for value in values):
                values = torch.stack([value.reshape(()) for value in values]).tolist()
            for value in values:
                runner.message_hub.update_scalar(name, value)
        self._pending = {}
        for name, history in runner.message_hub.log_scalars.items():
            if name.startswith('train/'):
                history.max_length = self._kept
