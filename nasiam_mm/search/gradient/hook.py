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
from nasiam_mm.engine.running import is_logged, unwrap
from nasiam_mm.registry import HOOKS, OPTIMIZERS
from nasiam_mm.search.gradient.gradients import alpha_gradients, unrolled_alpha_gradients


@HOOKS.register_module()
class AlphaStepHook(StatefulHook):
    """Step alpha on a batch of the held-out part before each weight step.

    The step changes alpha and the optimizer of alpha, nothing else (contract
    C1). Its loader is persistent and walks the held-out part pass by pass
    without replacement (C3); its optimizer holds alpha and nothing else (C4);
    the gradient is the mean over the processes (C5); its state goes with the
    checkpoint (C6). Its loss is read, which makes a GPU wait, when the run logs.

    Args:
        dataloader: Config of the loader of the held-out part. Its sampler is a
            ``ReplaySampler``.
        optimizer: Config of the optimizer of alpha.
        second_order: Whether to differentiate through a virtual step of the
            weights on the batch of the coming weight step (DARTS, eq. 7).

    Raises:
        ValueError: If the learning rate is not a positive number, and at the
            start of the run if the parts overlap, the held-out part is smaller
            than a batch, or the optimizer of the weights holds alpha.
    """

    # After those that set this iteration's learning rates, which a virtual step goes by, and the
    # timer of the loader; both are NORMAL.
    priority = 'BELOW_NORMAL'
    state_types: ClassVar = {'optimizer': dict, 'steps': int}

    def __init__(
        self,
        dataloader: dict,
        optimizer: dict,
        second_order: bool = False,
    ) -> None:
        lr = optimizer.get('lr')
        if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not 0 < lr < math.inf:
            raise ValueError(
                f'AlphaStepHook.optimizer.lr must be a positive number, got {lr!r}; '
                'the papers use 1e-3 (SimSiam, SimCLR) and 3e-4 (MoCo v2)'
            )
        self.dataloader_cfg = dataloader
        self.optimizer_cfg = optimizer
        self.second_order = second_order
        self.steps = 0
        self.loss: torch.Tensor | None = None

    def before_run(self, runner: Runner) -> None:
        """Build loader and optimizer, before a checkpoint is loaded."""
        self.model = unwrap(runner.model)
        architecture = getattr(self.model, 'architecture', None)
        if architecture is None:
            raise ValueError(
                f'{type(self.model).__name__} has nothing to search; set model.space, and use a '
                'HeadMLP as its neck or as the predictor of its head'
            )
        self.architecture = architecture
        # After the model is placed: moving a buffer makes another tensor of it.
        self.alphas = architecture.alphas()
        self.optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=self.alphas))
        self._check_owners(runner)
        self.loader = Runner.build_dataloader(self.dataloader_cfg, seed=runner.seed)
        self._check_parts(runner.train_dataloader)

    def before_train(self, runner: Runner) -> None:
        """Start drawing from where the run stands."""
        self.batches = endless_batches(self.loader, self.steps)
        if self.steps:
            # A run resumed within a weight step mixes as that step began.
            self.architecture.sample(runner.seed, self.steps - 1, 'weights')

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Step alpha once for each weight step, to which several iterations may add up."""
        wrapper = runner.optim_wrapper
        if wrapper.inner_count % wrapper._accumulative_counts == 0:
            self._step(runner, data_batch)
        if self.loss is not None and is_logged(runner, batch_idx):
            self._log(runner, self.loss)

    def _step(self, runner: Runner, data_batch: dict | None) -> None:
        self.architecture.sample(runner.seed, self.steps, 'alpha')
        with runner.optim_wrapper.optim_context(self.model):
            self.loss, gradients = self._gradients(runner, data_batch)
        for alpha, gradient in zip(self.alphas, gradients, strict=True):
            all_reduce(gradient, op='mean')
            alpha.grad = gradient
        if not self._overflowed(runner, gradients):
            self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.architecture.sample(runner.seed, self.steps, 'weights')
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer of alpha and the place in the held-out part."""
        return {'optimizer': self.optimizer.state_dict(), 'steps': self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take both up again."""
        self.optimizer.load_state_dict(state['optimizer'])
        self.steps = state['steps']
        for number, alpha in enumerate(self.alphas if self.steps else ()):
            kept = [v for v in self.optimizer.state[alpha].values() if getattr(v, 'ndim', 0)]
            if any(moment.shape != alpha.shape for moment in kept):
                raise ValueError(f'the moments of alpha {number} are not of its shape')

    def dataloaders(self) -> list[DataLoader]:
        """Return the loader that is walked while training."""
        return [self.loader]

    @property
    def differentiates_twice(self) -> bool:
        """Whether a gradient of a gradient is taken."""
        return self.second_order

    def _gradients(
        self, runner: Runner, data_batch: dict
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        preprocess = self.model.data_preprocessor
        data = preprocess(next(self.batches), True)
        if self.second_order:
            groups = runner.optim_wrapper.optimizer.param_groups
            rates = {p: group['lr'] for group in groups for p in group['params']}
            return unrolled_alpha_gradients(
                self.model, data, preprocess(data_batch, True), self.alphas, rates
            )
        scaler = getattr(runner.optim_wrapper, 'loss_scaler', None)
        scale = scaler.get_scale() if scaler else 1.0
        return alpha_gradients(self.model, data, self.alphas, scale)

    def _overflowed(self, runner: Runner, gradients: tuple[torch.Tensor, ...]) -> bool:
        """Whether a float16 gradient is not finite; the scaler of the weights then backs off."""
        if getattr(runner.optim_wrapper, 'loss_scaler', None) is None:
            return False
        return not all(bool(gradient.isfinite().all()) for gradient in gradients)

    def _log(self, runner: Runner, loss: torch.Tensor) -> None:
        value = loss.item()
        if not math.isfinite(value):
            raise RuntimeError(
                f'alpha loss is {value} at iteration {runner.iter + 1} (epoch {runner.epoch + 1}); '
                'lower the learning rates or switch off mixed precision'
            )
        runner.message_hub.update_scalar('train/alpha_loss', value)

    def _check_owners(self, runner: Runner) -> None:
        held = {id(p) for g in runner.optim_wrapper.optimizer.param_groups for p in g['params']}
        if any(id(alpha) in held for alpha in self.alphas):
            raise ValueError(
                'the optimizer of the weights holds alpha; set '
                "optim_wrapper.constructor='WeightOptimWrapperConstructor'"
            )

    def _check_parts(self, train_loader: DataLoader) -> None:
        if not isinstance(self.loader.sampler, ReplaySampler):
            raise ValueError(
                "the held-out loader needs sampler=dict(type='ReplaySampler'), got "
                f'{type(self.loader.sampler).__name__}'
            )
        if len(self.loader) == 0:
            raise ValueError(
                f'the held-out part has {len(self.loader.sampler)} images per process, fewer than '
                f'a batch of {self.loader.batch_size}; lower the batch size or enlarge the part'
            )
        shared = shared_images(self.loader.dataset, train_loader.dataset)
        if len(shared):
            raise ValueError(
                f'{len(shared)} images are in both the weight part and the held-out part; give '
                "both loaders a SplitDataset with equal 'parts' and 'seed' and another 'part'"
            )
