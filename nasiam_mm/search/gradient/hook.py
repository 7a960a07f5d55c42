# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One alpha step on the held-out part before each weight step (NASiam, section 3.1)."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from mmengine.dist import all_reduce
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from nasiam_mm.datasets.replay import ReplaySampler, endless_batches
from nasiam_mm.datasets.split import shared_images
from nasiam_mm.engine.hooks.stateful_hook import StatefulHook
from nasiam_mm.engine.optim import optimizer_misfits
from nasiam_mm.engine.running import is_logged, unwrap
from nasiam_mm.models.choice import ChoiceCell
from nasiam_mm.part_registry import build_parts
from nasiam_mm.registry import HOOKS, OPTIMIZERS
from nasiam_mm.search.gradient.gradients import (
    alpha_gradients,
    unrolled_alpha_gradients,
    virtual_step,
)
from nasiam_mm.search.gradient.regularizers import Penalties
from nasiam_mm.search.gradient.schedules import (
    SCHEDULES,
    AlphaWarmup,
    AuxiliaryDecay,
    Schedule,
    SearchStep,
)


@HOOKS.register_module()
class AlphaStepHook(StatefulHook):
    """Step alpha on a batch of the held-out part before each weight step.

    The step changes alpha and the optimizer of alpha, nothing else (contract C1). Its loader is
    persistent and walks the held-out part pass by pass without replacement (C3); its optimizer
    holds alpha and nothing else (C4); the gradient is the mean over the processes (C5); its state
    goes with the checkpoint (C6). Its loss is read, which makes a GPU wait, when the run logs.

    Args:
        dataloader: Config of the loader of the held-out part, with a ``ReplaySampler``.
        optimizer: Config of the optimizer of alpha; None where alpha is left alone and the weights
            are all that is searched with (``UniformSampling``). One for all layers: Adam and SGD
            step each entry on its own, as one for each cell (D-DARTS) would.
        second_order: Whether to differentiate through a virtual step of the weights on the batch
            of the coming weight step (DARTS, eq. 7); ``'sgd'`` for a step with their momentum and
            weight decay.
        regularizers: Configs of what is minimised besides the loss.
        schedules: Configs of what moves as the search goes on, asked in this order.
        interval: Weight steps to an alpha step (ProxylessNAS: 5).

    Raises:
        ValueError: If the learning rate is no positive number; at the start of the run if parts
            overlap, the held-out one is below a batch, the weights' optimizer holds alpha, or parts
            of the search do not go together.
    """

    # After those that set this iteration's learning rates, which a virtual step goes by, and the
    # timer of the loader; both are NORMAL.
    priority = 'BELOW_NORMAL'
    counters = ('steps', 'taken', 'moved', 'skipped')
    state_types: ClassVar = {'optimizer': dict, **dict.fromkeys(counters, int)}

    def __init__(
        self,
        dataloader: dict,
        optimizer: dict | None,
        second_order: bool | str = False,
        regularizers: Sequence[Mapping] = (),
        schedules: Sequence[Mapping] = (),
        interval: int = 1,
    ) -> None:
        if optimizer is not None and not isinstance(optimizer, dict):
            what = f'AlphaStepHook.optimizer must be a dict or None, got {optimizer!r:.80}'
            raise ValueError(what)
        lr = 1.0 if optimizer is None else optimizer.get('lr')
        if isinstance(lr, bool) or not isinstance(lr, (int, float)) or not 0 < lr < math.inf:
            papers = 'the papers use 1e-3 (SimSiam, SimCLR) and 3e-4 (MoCo v2)'
            what = f'AlphaStepHook.optimizer.lr must be a positive number, got {lr!r}'
            raise ValueError(f'{what}; {papers}')
        if second_order not in (False, True, 'sgd'):
            what = f"AlphaStepHook.second_order must be True, False or 'sgd', got {second_order!r}"
            raise ValueError(what)
        if type(interval) is not int or interval < 1:
            what = f'AlphaStepHook.interval must be a positive integer, got {interval!r}'
            raise ValueError(what)
        self.penalties = Penalties(regularizers)
        where = 'alpha_step.schedules'
        self.schedules: list[Schedule] = build_parts(SCHEDULES, schedules, where)
        alone = [type(schedule).__name__ for schedule in self.schedules if schedule.is_alone]
        if twice := [name for n, name in enumerate(alone) if name in alone[:n]]:
            raise ValueError(f'{where} has more than one {twice[0]}; the last alone would count')
        self.interval = interval
        self.dataloader_cfg = dataloader
        self.optimizer_cfg = optimizer
        self.second_order = second_order
        self.steps = 0  # weight steps that alpha was sampled for
        self.taken = 0  # alpha steps, each of which draws a batch
        self.moved = 0  # steps of its optimizer since that began
        self.skipped = 0  # steps whose gradient overflowed
        self.loss: torch.Tensor | None = None

    def before_run(self, runner: Runner) -> None:
        """Build loader and optimizer, before a checkpoint is loaded."""
        self.check(unwrap(runner.model))
        held = {id(p) for g in runner.optim_wrapper.optimizer.param_groups for p in g['params']}
        if any(id(alpha) in held for alpha in self.alphas):
            mend = "set optim_wrapper.constructor='WeightOptimWrapperConstructor'"
            raise ValueError(f'the optimizer of the weights holds alpha; {mend}')
        self.loader = Runner.build_dataloader(self.dataloader_cfg, seed=runner.seed)
        self._check_parts(runner.train_dataloader)

    def check(self, model: nn.Module) -> None:
        """Take a model to search, as it is placed; ValueError where parts do not go together."""
        self.model, self.architecture = model, getattr(model, 'architecture', None)
        if self.architecture is None:
            mend = 'set model.space, and use a HeadMLP as its neck or as the predictor of its head'
            mend += ', or a backbone with a space'
            raise ValueError(f'{type(self.model).__name__} has nothing to search; {mend}')
        # After the model is placed: moving a buffer makes another tensor of it.
        self.alphas = self.architecture.alphas()
        self.optimizer = None
        if self.optimizer_cfg is not None:
            self.optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=self.alphas))
        relaxation = type(self.architecture.relaxation).__name__
        if not self.architecture.relaxation.moves_alpha and self.optimizer is not None:
            what = f'{relaxation} gives alpha no gradient'
            raise ValueError(f'{what}; set default_hooks.alpha_step.optimizer=None')
        auxiliary = any(cell.auxiliaries is not None for cell in self._cells())
        ends = [schedule.end for schedule in self.schedules if isinstance(schedule, AuxiliaryDecay)]
        if auxiliary and ends != [0]:
            mend = "give alpha_step.schedules one dict(type='AuxiliaryDecay') that ends at 0"
            raise ValueError(f'the auxiliary branch would still be there at the end; {mend}')
        if ends and not auxiliary:
            mend = "set model.auxiliary=dict(type='AuxiliarySkip')"
            raise ValueError(f'the schedule AuxiliaryDecay moves nothing; {mend}')
        self.penalties.check(self.model, moves_alpha=self.optimizer is not None)
        start = SearchStep(None, self.architecture, self.optimizer, 0, 1, self._stages())
        for schedule in self.schedules:
            schedule.check(start)

    def _cells(self) -> list[ChoiceCell]:
        return [cell for alike in self.model.searched_cells().values() for cell in alike]

    def _stages(self) -> int:
        return max((schedule.stages for schedule in self.schedules), default=1)

    def _stand(self, runner: Runner, iteration: int | None = None) -> SearchStep:
        """Say how far the search is, or was before an iteration, from 0."""
        done, whole = runner.iter if iteration is None else iteration, runner.max_iters
        stages = self._stages()
        return SearchStep(runner, self.architecture, self.optimizer, done, whole, stages)

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
        if self.optimizer is not None and not self._comes(runner):
            what = f'alpha takes no step in the {runner.max_iters} iterations of this search'
            mend = 'search longer, or lower default_hooks.alpha_step.interval or the warm-up'
            runner.logger.warning(f'{what}: its genotype will say nothing; {mend}')
        self.batches = endless_batches(self.loader, self.taken)
        if self.steps:
            # A run resumed within a weight step, or after the last, mixes as that step began.
            began = (self.steps - 1) * runner.optim_wrapper._accumulative_counts
            for schedule in self.schedules:
                schedule.apply(self._stand(runner, began))
            self.architecture.sample(runner.seed, self.steps - 1, 'weights')

    def _comes(self, runner: Runner) -> bool:
        """Whether any iteration of the whole search takes an alpha step."""
        every = runner.optim_wrapper._accumulative_counts * self.interval
        for iteration in range(0, runner.max_iters, every):
            step = self._stand(runner, iteration)
            for schedule in self.schedules:
                if isinstance(schedule, AlphaWarmup):
                    schedule.apply(step)
            if step.takes_alpha_step:
                return True
        return False

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Step alpha once for each weight step, to which several iterations may add up."""
        wrapper = runner.optim_wrapper
        if wrapper.inner_count % wrapper._accumulative_counts == 0:
            step = self._stand(runner)
            for schedule in self.schedules:
                schedule.apply(step)
            if step.restarted:
                self.moved = 0
            due = self.optimizer is not None and self.steps % self.interval == 0
            if due and step.takes_alpha_step:
                self._step(runner, data_batch, step.progress)
            self.architecture.sample(runner.seed, self.steps, 'weights')
            self.steps += 1
        if self.loss is None or not is_logged(runner, batch_idx):
            return
        value = self.loss.item()
        if not math.isfinite(value):
            what = f'alpha loss is {value} at iteration {runner.iter + 1}, epoch {runner.epoch + 1}'
            raise RuntimeError(f'{what}; lower the learning rates or switch off mixed precision')
        runner.message_hub.update_scalar('train/alpha_loss', value)
        for name, term in self.penalties.values.items():
            runner.message_hub.update_scalar(f'train/alpha_{name}', term.item())

    def _step(self, runner: Runner, data_batch: Any, progress: float) -> None:
        self.architecture.sample(runner.seed, self.steps, 'alpha')
        wrapper, preprocess = runner.optim_wrapper, self.model.data_preprocessor
        scaler = getattr(wrapper, 'loss_scaler', None)
        scale = scaler.get_scale() if scaler else 1.0
        penalty = self.penalties.of(self.model, self.architecture, progress)
        with wrapper.optim_context(self.model):
            data = preprocess(next(self.batches), True)
            if self.second_order:
                train = preprocess(data_batch, True)
                virtual = virtual_step(wrapper.optimizer, self.second_order == 'sgd')
                found = unrolled_alpha_gradients(
                    self.model, data, train, self.alphas, virtual, scale, penalty
                )
            else:
                found = alpha_gradients(self.model, data, self.alphas, scale, penalty)
        loss, gradients = found
        for alpha, gradient in zip(self.alphas, gradients, strict=True):
            all_reduce(gradient, op='mean')
            alpha.grad = gradient
        if scaler is None or all(bool(gradient.isfinite().all()) for gradient in gradients):
            self.loss = loss
            self._move()
        else:
            # A float16 gradient that overflowed; the scaler of the weights then backs off.
            self.skipped += 1
            what = f'alpha step {self.steps + 1} left out: its gradient overflowed in float16'
            runner.logger.warning(f'{what}, {self.skipped} so far')
        self.optimizer.zero_grad(set_to_none=True)
        self.taken += 1

    def _move(self) -> None:
        """Step alpha, and let the relaxation settle it."""
        owner = self.architecture
        before = {head: (owner.alpha(head).clone(), owner.paths(head)) for head in owner.choices}
        self.optimizer.step()
        self.moved += 1
        with torch.no_grad():
            for head, (alpha, paths) in before.items():
                owner.relaxation.settle(owner.alpha(head), alpha, paths)

    def state_dict(self) -> dict[str, Any]:
        """Return the optimizer of alpha and the place in the held-out part."""
        state = {name: getattr(self, name) for name in self.counters}
        return {'optimizer': self.optimizer.state_dict() if self.optimizer else {}, **state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take both up again."""
        if self.optimizer is not None:
            found = optimizer_misfits(self.optimizer, state['optimizer'], state['moved'] > 0)
            if problem := next(found, None):
                raise ValueError(problem)
            self.optimizer.load_state_dict(state['optimizer'])
        for name in self.counters:
            setattr(self, name, state[name])

    def parts(self) -> dict[str, Any]:
        """Return what the search is made of, by kind: the names of its parts."""
        branches = {type(a).__name__ for cell in self._cells() for a in cell.auxiliaries or ()}
        mixings = sorted({type(cell.mixing).__name__ for cell in self._cells()})
        return {
            'relaxation': type(self.architecture.relaxation).__name__,
            'mixing': ', '.join(mixings),
            'auxiliary': ', '.join(sorted(branches)) or None,
            'regularizers': [type(term).__name__ for term in self.penalties.terms],
            'schedules': [type(schedule).__name__ for schedule in self.schedules],
            'second_order': self.second_order,
        }

    def dataloaders(self) -> list[DataLoader]:
        """Return the loader that is walked while training."""
        return [self.loader]
