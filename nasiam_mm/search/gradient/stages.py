# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Stages of a search, each with fewer candidates (P-DARTS)."""

import hashlib
import math
from collections.abc import Iterator, Sequence

import torch
from mmengine.runner import Runner

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.engine.running import unwrap
from nasiam_mm.registry import MODELS
from nasiam_mm.search.gradient.schedules import SCHEDULES, Schedule, SearchStep, are_numbers


@SCHEDULES.register_module()
class Stages(Schedule):
    """Drop the weakest candidates of each layer when a stage begins (`P-DARTS`_, section 3.2).

    A dropped candidate has weight 0 and is not run again. The search is divided into one more
    stage than ``keep`` has numbers. What is there to drop is seen in the candidates alone, so that
    a resumed search goes on in its stage. P-DARTS also lets the network grow from stage to stage:
    a head's chain has a fixed length, and no such thing. Schedules of the weights' learning rate
    go on over the stages; mmengine's ``CosineRestartLR`` begins anew with each.

    Args:
        keep: Share of its candidates, rounded up, that a layer keeps in each stage but the first,
            which has all; P-DARTS keeps 5 and 3 of 8.
        restart: Whether weights, momentum encoders, queues, alpha and the states of both
            optimizers begin anew with each stage, as in P-DARTS.

    .. _P-DARTS: https://arxiv.org/abs/1904.12760
    """

    is_alone = True

    def __init__(self, keep: Sequence[float] = (0.625, 0.375), restart: bool = True) -> None:
        falls = are_numbers(keep, 0, 1) and 0 not in keep
        if not falls or sorted(set(keep), reverse=True) != list(keep):
            need = 'must be a list of numbers between 0 and 1, each less than the one before'
            raise ValueError(f'Stages.keep {need}; got {keep!r}')
        if type(restart) is not bool:
            raise ValueError(f'Stages.restart must be True or False, got {restart!r}')
        self.keep, self.restart = tuple(keep), restart
        self.stages = len(keep) + 1

    def check(self, step: SearchStep) -> None:
        """Raise ValueError where there is nothing to drop."""
        layers = [sum(c.present) for rows in step.architecture.choices.values() for c in rows]
        if all(math.ceil(self.keep[-1] * here) == here for here in layers):
            what = f'no layer has so many candidates that a share of {self.keep[-1]} is fewer'
            raise ValueError(f'Stages.keep drops nothing: {what}')

    def apply(self, step: SearchStep) -> None:
        """Drop what this stage does not keep, if it is there."""
        if step.stage == 0:
            return
        found = list(_surplus(step.architecture, self.keep[step.stage - 1]))
        for head, layer, weakest in found:
            step.architecture.drop(head, layer, weakest)
        if found:
            dropped = sum(len(weakest) for *_, weakest in found)
            told = f'stage {step.stage + 1} of {self.stages}: {dropped} candidates dropped'
            step.runner.logger.info(told)
            if self.restart:
                restart(step, f'{step.runner.seed}/stage {step.stage}')


@SCHEDULES.register_module()
class IdentityDropout(Schedule):
    """Drop out a share of an identity's output, less and less within a stage (`P-DARTS`_, 3.2.2).

    It keeps the search from choosing identities because they train fast. The share is the rate of
    the stage, times ``exp(-decay s)``, s the share that is done of what follows the warm-up.

    Args:
        rates: Share dropped at the beginning of each stage, from 0 to below 1.
        warmup: Share of a stage at the full rate.
        decay: P-DARTS' ``exp(-0.2 (e - 10))`` over 15 epochs is 3.

    .. _P-DARTS: https://arxiv.org/abs/1904.12760
    """

    is_alone = True

    def __init__(self, rates: Sequence[float], warmup: float = 0.4, decay: float = 3.0) -> None:
        if not are_numbers(rates, 0, 1):
            need = 'IdentityDropout.rates must be a list of numbers from 0 to below 1'
            raise ValueError(f'{need}, got {rates!r}')
        if not are_numbers([warmup], 0, 1) or not are_numbers([decay], 0, math.inf):
            need = 'IdentityDropout.warmup must be from 0 to below 1, .decay a number from 0 up'
            raise ValueError(f'{need}; got {warmup!r} and {decay!r}')
        self.rates, self.warmup, self.decay = tuple(rates), warmup, decay

    def check(self, step: SearchStep) -> None:
        """Raise ValueError unless there is a rate for each stage."""
        if len(self.rates) != step.stages:
            what = f'IdentityDropout.rates has {len(self.rates)} values'
            raise ValueError(f'{what}; the search has {step.stages} stages (schedule Stages)')

    def apply(self, step: SearchStep) -> None:
        """Set the share."""
        done = max(0.0, step.stage_progress - self.warmup) / (1 - self.warmup)
        step.architecture.identity_dropout = self.rates[step.stage] * math.exp(-self.decay * done)


def _surplus(architecture: Architecture, share: float) -> Iterator[tuple[str, int, list[int]]]:
    """Head, layer and positions of the candidates there that a share of them leaves no room for.

    They are those of lowest alpha, the last among equals.
    """
    for head, choices in architecture.choices.items():
        alpha, present = architecture.alpha(head).detach().cpu(), architecture.present(head).cpu()
        order = alpha.masked_fill(~present, float('-inf')).argsort(
            dim=1, descending=True, stable=True
        )
        for n, (choice, here) in enumerate(zip(choices, present.sum(1).tolist(), strict=True)):
            keep = math.ceil(share * sum(choice.present))
            if here > keep:
                yield head, n, order[n, keep:here].tolist()


def restart(step: SearchStep, key: str) -> None:
    """Begin anew with the candidates that are left: weights from a stream named ``key``."""
    model, fresh = unwrap(step.runner.model), _fresh(step.runner, key).state_dict()
    kept = {n: v for n, v in model.state_dict().items() if n.startswith('architecture.present_')}
    model.load_state_dict({**fresh, **kept})
    step.runner.optim_wrapper.optimizer.state.clear()
    if step.optimizer is not None:
        step.optimizer.state.clear()
    step.restarted = True


def _fresh(runner: Runner, key: str) -> torch.nn.Module:
    """Build the model of a run as it would begin, its random numbers a function of the key."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], 'big') >> 1
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        model = MODELS.build(runner.cfg.model)
        model.init_weights()
    return model
