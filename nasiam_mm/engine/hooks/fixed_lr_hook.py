# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A rate that no schedule moves."""

from mmengine.hooks import Hook
from mmengine.runner import Runner

from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class FixedLrHook(Hook):
    """Keep parameter groups marked ``fix_lr`` at the rate they began with.

    SimSiam's predictor learns best so (its section 4.2). The rate is the optimizer's own, however
    it came to be set or scaled, so that it stands in one place; mmpretrain's ``SimSiamHook`` asks
    for it once more. Groups are marked by ``paramwise_cfg.custom_keys``.
    """

    # Before the alpha step, whose virtual weight step goes by the rates.
    priority = 'NORMAL'

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch=None) -> None:
        """Undo what a schedule did since the last iteration."""
        for group in runner.optim_wrapper.optimizer.param_groups:
            if group.get('fix_lr'):
                group['lr'] = group.get('initial_lr', group['lr'])
