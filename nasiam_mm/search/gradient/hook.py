# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One alpha step on the held-out part before each weight step (NASiam, section 3.1)."""

import math
from typing import Any, ClassVar

import torch
from mmengine.dist import all_reduce
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from nasiam_mm.datasets.replay import ReplaySampler, endless_batches
from nasiam_mm.datasets.split import shared_images
from nasiam_mm.engine.hooks.stateful_hook import StatefulHook
from nasiam_mm.engine.optim import optimizer_misfits
from nasiam_mm.engine.running import is_logged, unwrap
from nasiam_mm.registry import HOOKS, OPTIMIZERS
from nasiam_mm.search.gradient.gradients import alpha_gradients, unrolled_alpha_gradients


@HOOKS.register_module()
class AlphaStepHook(StatefulHook):
    """Step alpha on a batch of the held-out part before each weight step.

    The step changes alpha and the optimizer of alpha, nothing else (contract C1). Its loader is
    persistent and walks the held-out part pass by pass without replacement (C3); its optimizer
    holds alpha and nothing else (C4); the gradient is the mean over the processes (C5); its state
    goes with the checkpoint (C6). Its loss is read, which makes a GPU wait, when the run logs.

    Args:
        dataloader: Config of the loader of the held-out part, with a ``ReplaySampler``.
        optimizer: Config of the optimizer of alpha.
        second_order: Whether to differentiate through a virtual step of the weights on the batch
            of the coming weight step (DARTS, eq. 7).

    Raises:
        ValueError: If the learning rate is no positive number; at the start of the run if parts
            overlap, the held-out one is below a batch, or the weights' optimizer holds alpha.
    """

    # After those that set this iteration's learning rates, which a virtual step goes by, and the
    # timer of the loader; both are NORMAL.
    priority = 'BELOW_NORMAL'
    state_types: ClassVar = {'optimizer': dict, 'steps': int, 'skipped': int}

    def __init__(self, dataloader: dict, optimizer: dict, second_order: bool = False) -> None:
        lr = optimizer.get('lr')
        if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not 0 < lr < math.inf:
            papers = 'the papers use 1e-3 (SimSiam, SimCLR) and 3e-4 (MoCo v2)'
            what = f'AlphaStepHook.optimizer.lr must be a positive number, got {lr!r}'
            raise ValueError(f'{what}; {papers}')
        self.dataloader_cfg = dataloader
        self.optimizer_cfg = optimizer
        self.second_order = second_order
        self.steps = 0
        self.skipped = 0  # steps whose gradient overflowed
        self.loss: torch.Tensor | None = None

    def before_run(self, runner: Runner) -> None:
        """Build loader and optimizer, before a checkpoint is loaded."""
        self.model = unwrap(runner.model)
        self.architecture = getattr(self.model, 'architecture', None)
        if self.architecture is None:
            mend = 'set model.space, and use a HeadMLP as its neck or as the predictor of its head'
            raise ValueError(f'{type(self.model).__name__} has nothing to search; {mend}')
        # After the model is placed: moving a buffer makes another tensor of it.
        self.alphas = self.architecture.alphas()
        self.optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=self.alphas))
        held = {id(p) for g in runner.optim_wrapper.optimizer.param_groups for p in g['params']}
        if any(id(alpha) in held for alpha in self.alphas):
            mend = "set optim_wrapper.constructor='WeightOptimWrapperConstructor'"
            raise ValueError(f'the optimizer of the weights holds alpha; {mend}')
        self.loader = Runner.build_dataloader(self.dataloader_cfg, seed=runner.seed)
        self._check_parts(runner.train_dataloader)

    def _check_parts(self, train_loader: DataLoader) -> None:
        sampler, size = self.loader.sampler, self.loader.batch_size
        if not isinstance(sampler, ReplaySampler):
            need = "the held-out loader needs sampler=dict(type='ReplaySampler')"
            raise ValueError(f'{need}, got {type(sampler).__name__}')
        if len(self.loader) == 0:
            what = f'has {len(sampler)} images per process, fewer than a batch of {size}'
            raise ValueError(f'the held-out part {what}; lower the batch size or enlarge the part')
        if count := len(shared_images(self.loader.dataset, train_loader.dataset)):
            what = f'{count} images are in both the weight part and the held-out part'
            mend = "give both loaders a SplitDataset of equal 'parts' and 'seed' and another 'part'"
            raise ValueError(f'{what}; {mend}')

    def before_train(self, runner: Runner) -> None:
        """Start drawing from where the run stands."""
        self.batches = endless_batches(self.loader, self.steps)
        if self.steps:
            # A run resumed within a weight step mixes as that step began.
            self.architecture.sample(runner.seed, self.steps - 1, 'weights')

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Step alpha once for each weight step, to which several iterations may add up."""
        wrapper = runner.optim_wrapper
        if wrapper.inner_count % wrapper._accumulative_counts == 0:
            self._step(runner, data_batch)
        if self.loss is None or not is_logged(runner, batch_idx):
            return
        value = self.loss.item()
        if not math.isfinite(value):
            what = f'alpha loss is {value} at iteration {runner.iter + 1}, epoch {runner.epoch + 1}'
            raise RuntimeError(f'{what}; lower the learning rates or switch off mixed precision')
        runner.message_hub.update_scalar('train/alpha_loss', value)

    def _step(self, runner: Runner, data_batch: Any) -> None:
        self.architecture.sample(runner.seed, self.steps, 'alpha')
        wrapper, preprocess = runner.optim_wrapper, self.model.data_preprocessor
        scaler = getattr(wrapper, 'loss_scaler', None)
        scale = scaler.get_scale() if scaler else 1.0
        with wrapper.optim_context(self.model):
            data = preprocess(next(self.batches), True)
            if self.second_order:
                train, groups = preprocess(data_batch, True), wrapper.optimizer.param_groups
                rates = {p: group['lr'] for group in groups for p in group['params']}
                found = unrolled_alpha_gradients(self.model, data, train, self.alphas, rates, scale)
            else:
                found = alpha_gradients(self.model, data, self.alphas, scale)
        loss, gradients = found
        for alpha, gradient in zip(self.alphas, gradients, strict=True):
            all_reduce(gradient, op='mean')
            alpha.grad = gradient
        if scaler is None or all(bool(gradient.isfinite().all()) for gradient in gradients):
            self.loss = loss
            self.optimizer.step()
        else:
            # A float16 gradient that overflowed; the scaler of the weights then backs off.
            self.skipped += 1
            what = f'alpha step {self.steps + 1} left out: its gradient overflowed in float16'
            runner.logger.warning(f'{what}, {self.skipped} so far')
        self.optimizer.zero_grad(set_to_none=True)
        self.architecture.sample(runner.seed, self.steps, 'weights')
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer of alpha and the place in the held-out part."""
        state = {name: getattr(self, name) for name in ('steps', 'skipped')}
        return {'optimizer': self.optimizer.state_dict(), **state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take both up again."""
        begun = state['steps'] > state['skipped']
        if problem := next(optimizer_misfits(self.optimizer, state['optimizer'], begun), None):
            raise ValueError(problem)
        self.optimizer.load_state_dict(state['optimizer'])
        self.steps, self.skipped = state['steps'], state['skipped']

    def dataloaders(self) -> list[DataLoader]:
        """Return the loader that is walked while training."""
        return [self.loader]
