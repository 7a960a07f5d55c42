# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Frozen means frozen: contract C9, held at run time."""

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from nasiam_mm.engine.running import unwrap
from nasiam_mm.files.checkpoint import misfits, read_checkpoint, weights_of
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class FrozenHook(Hook):
    """Prove that the backbone is the pretrained one and stays it.

    Before training it compares the backbone with the checkpoint that its ``init_cfg`` names, of
    which mmengine loads what matches and only warns of the rest. Then it notes every weight and
    buffer, BatchNorm's statistics too, and compares after each epoch and at the end.

    Args:
        module: Name of the frozen part of the model.
        interval: Epochs between two comparisons.

    Raises:
        ValueError: If the part has no pretrained weights, asks for a gradient, or the checkpoint
            does not hold its entries and no others.
        RuntimeError: If an entry moved.
    """

    # Before CheckpointHook, VERY_LOW: a run that broke the contract leaves no checkpoint of it.
    priority = 'NORMAL'

    def __init__(self, module: str = 'backbone', interval: int = 1) -> None:
        if interval < 1:
            raise ValueError(f'FrozenHook.interval must be at least 1, got {interval}')
        self.module_name = module
        self.interval = interval
        self.held: dict[str, Tensor] = {}

    def before_run(self, runner: Runner) -> None:
        """Refuse a checkpoint that does not fit, before mmengine loads the part that does."""
        # Testing runs through here too, and needs no pretraining checkpoint any more.
        if isinstance(runner.optim_wrapper, OptimWrapper):
            self._compare(runner, values=False)

    def before_train(self, runner: Runner) -> None:
        """Check the loaded weights entry by entry and note them."""
        self._compare(runner, values=True)
        module = self._module(runner)
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                raise ValueError(
                    f"FrozenHook: '{self.module_name}.{name}' asks for a gradient; set "
                    f'model.{self.module_name}.frozen_stages to all stages'
                )
        self.held = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        runner.logger.info(
            f'{self.module_name} frozen: {len(self.held)} of {len(self.held)} entries are those of '
            f'{self._init_cfg(module)["checkpoint"]}, sha256 {_digest(self.held)}'
        )

    def after_train_epoch(self, runner: Runner) -> None:
        """Compare every ``interval`` epochs."""
        if self.every_n_epochs(runner, self.interval):
            self._check_still(runner, f'in epoch {runner.epoch + 1}')

    def after_train(self, runner: Runner) -> None:
        """Compare a last time, and say so in the log."""
        self._check_still(runner, 'by the end of the training')
        runner.logger.info(
            f'{self.module_name} frozen: unchanged at the end, sha256 {_digest(self.held)}'
        )

    def _check_still(self, runner: Runner, when: str) -> None:
        now = self._module(runner).state_dict()
        moved = [name for name, tensor in self.held.items() if not torch.equal(now[name], tensor)]
        if moved:
            raise RuntimeError(
                f"'{self.module_name}.{moved[0]}' and {len(moved) - 1} other entries of the frozen "
                f'{self.module_name} moved {when}; set frozen_stages to all stages and '
                'norm_eval=True, and keep hooks off it'
            )

    def _compare(self, runner: Runner, values: bool) -> None:
        """Compare names and shapes with the checkpoint, and values where asked."""
        module = self._module(runner)
        init_cfg = self._init_cfg(module)
        path = init_cfg['checkpoint']
        found = _read_prefixed(path, init_cfg.get('prefix'))
        expected = module.state_dict()
        problems = misfits(expected, found)
        if values and not problems:
            problems = [
                f'{name} was not loaded'
                for name, tensor in expected.items()
                if not torch.equal(tensor.cpu(), found[name].cpu())
            ]
        if problems:
            fitting = len(expected) - len({p.split()[0] for p in problems} & expected.keys())
            raise ValueError(
                f"checkpoint '{path}' fits {fitting} of {len(expected)} entries of the "
                f'{self.module_name}: {sorted(problems)[0]}; take the checkpoint of a network with '
                f'this {self.module_name}, or give the config the widths of the checkpoint'
            )

    def _module(self, runner: Runner) -> nn.Module:
        return getattr(unwrap(runner.model), self.module_name)

    def _init_cfg(self, module: nn.Module) -> dict:
        init_cfg: Any = getattr(module, 'init_cfg', None)
        if not isinstance(init_cfg, dict) or not init_cfg.get('checkpoint'):
            raise ValueError(
                f'the {self.module_name} to be frozen has no pretrained weights; pass '
                '--checkpoint FILE to tools/train.py'
            )
        return init_cfg


def _read_prefixed(path: str, prefix: str | None) -> dict[str, Tensor]:
    """Read the entries of a checkpoint under a prefix, as mmengine's Pretrained init does."""
    weights = weights_of(read_checkpoint(path, 'cpu'), path)
    prefix = prefix.removesuffix('.') + '.' if prefix else ''
    return {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}


def _digest(state: Mapping[str, Tensor]) -> str:
    whole = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        whole.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()[:16]
