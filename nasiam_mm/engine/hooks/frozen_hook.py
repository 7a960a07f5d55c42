# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Frozen means frozen: contract C9, held at run time."""

import hashlib

import torch
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch import nn

from nasiam_mm.engine.running import unwrap
from nasiam_mm.files.checkpoint import misfits, read_checkpoint, weights_of
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class FrozenHook(Hook):
    """Prove that the backbone is the pretrained one and stays it.

    Before training it compares the backbone with the checkpoint of its ``init_cfg``, of which
    mmengine loads what matches and only warns of the rest: ValueError if there is none, it holds
    other entries, or a weight asks for a gradient. Then it notes every weight and buffer,
    BatchNorm's statistics too, and compares after each epoch and at the end: RuntimeError if any
    moved.
    """

    # Before CheckpointHook, VERY_LOW: a run that broke the contract leaves no checkpoint of it.
    priority = 'NORMAL'

    def before_run(self, runner: Runner) -> None:
        """Refuse a checkpoint that does not fit, before mmengine loads the part that does."""
        # Testing runs through here too, and needs no pretraining checkpoint any more.
        if isinstance(runner.optim_wrapper, OptimWrapper):
            _compare(unwrap(runner.model).backbone, values=False)

    def before_train(self, runner: Runner) -> None:
        """Check the loaded weights entry by entry and note them."""
        backbone = unwrap(runner.model).backbone
        path = _compare(backbone, values=True)
        if learning := [name for name, p in backbone.named_parameters() if p.requires_grad]:
            asks = f"'backbone.{learning[0]}' asks for a gradient"
            raise ValueError(f'FrozenHook: {asks}; set model.backbone.frozen_stages to all stages')
        self.held = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
        whole = hashlib.sha256()
        for name, tensor in sorted(self.held.items()):
            whole.update(name.encode() + tensor.cpu().contiguous().numpy().tobytes())
        self.digest = whole.hexdigest()[:16]
        entries = f'{len(self.held)} of {len(self.held)} entries are those of {path}'
        runner.logger.info(f'backbone frozen: {entries}, sha256 {self.digest}')

    def after_train_epoch(self, runner: Runner) -> None:
        """Compare with what was noted."""
        self._check_still(runner, f'in epoch {runner.epoch + 1}')

    def after_train(self, runner: Runner) -> None:
        """Compare a last time, and say so in the log."""
        self._check_still(runner, 'by the end of the training')
        runner.logger.info(f'backbone frozen: unchanged at the end, sha256 {self.digest}')

    def _check_still(self, runner: Runner, when: str) -> None:
        now = unwrap(runner.model).backbone.state_dict()
        moved = [name for name, tensor in self.held.items() if not torch.equal(now[name], tensor)]
        if moved:
            mend = 'set frozen_stages to all stages and norm_eval=True, and keep hooks off it'
            names = f"'backbone.{moved[0]}' and {len(moved) - 1} other entries"
            raise RuntimeError(f'{names} of the frozen backbone moved {when}; {mend}')


def _compare(backbone: nn.Module, values: bool) -> str:
    """Compare names and shapes with the checkpoint, and values where asked; return its path."""
    init_cfg = getattr(backbone, 'init_cfg', None)
    if not isinstance(init_cfg, dict) or not (path := init_cfg.get('checkpoint')):
        mend = 'pass --checkpoint FILE to tools/train.py'
        raise ValueError(f'the backbone to be frozen has no pretrained weights; {mend}')
    # Its entries under the prefix, as mmengine's Pretrained init reads them.
    weights = weights_of(read_checkpoint(path, 'cpu'), path)
    prefix = f'{init_cfg["prefix"].removesuffix(".")}.' if init_cfg.get('prefix') else ''
    found = {name.removeprefix(prefix): w for name, w in weights.items() if name.startswith(prefix)}
    expected = backbone.state_dict()
    problems = misfits(expected, found)
    if values and not problems:
        moved = [name for name in expected if not torch.equal(expected[name].cpu(), found[name])]
        problems = [f'{name} was not loaded' for name in moved]
    if problems:
        fitting = len(expected) - len({p.split()[0] for p in problems} & expected.keys())
        fits = f'fits {fitting} of {len(expected)} entries of the backbone: {min(problems)}'
        mend = 'take the checkpoint of a network with this backbone, or set the widths to its own'
        raise ValueError(f"checkpoint '{path}' {fits}; {mend}")
    return path
