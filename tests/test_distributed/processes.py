# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Reduced searches over processes on the CPU, and what each process saw of them."""

import hashlib
import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmpretrain.models import SimCLR as StockSimCLR
from torch import Tensor, nn

from nasiam_mm.cli.config import start_processes_on_cpu
from nasiam_mm.cli.strategy import merge_strategy
from nasiam_mm.models import SimCLR, prototypes
from nasiam_mm.ops.candidates import CANDIDATE_OPS
from nasiam_mm.search.gradient import hook as alpha_step_hook
from nasiam_mm.search.gradient.hook import AlphaStepHook
from tests.reduced import light, reduced

BATCH = 32  # over all processes
STEPS = 4  # of an epoch
WITHOUT_BN = ['linear_gelu', 'max_pool_3', 'linear', 'identity']


def linear_gelu(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Sequential:
    """Linear and GELU, without BatchNorm."""
    activation = [] if is_output else [nn.GELU()]
    return nn.Sequential(nn.Linear(in_channels, out_channels), *activation)


def max_pool_3(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Sequential:
    """Max pooling over three neighbouring features, without BatchNorm."""
    linear = [nn.Linear(in_channels, out_channels)] if in_channels != out_channels else []
    return nn.Sequential(*linear, nn.MaxPool1d(3, stride=1, padding=1))


class Recorder(Hook):
    """Keeps what a process saw: images, gradients of its own, alpha and weights."""

    priority = 'LOWEST'

    def __init__(self, record: dict[str, list]) -> None:
        self.record = record

    def before_train(self, runner: Runner) -> None:
        hook = next(hook for hook in runner.hooks if isinstance(hook, AlphaStepHook))
        hook.batches = self._seen(hook.batches)
        self.model = hook.model

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        alphas = self.model.architecture.alphas()
        self.record['alpha'].append([alpha.clone() for alpha in alphas])

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None) -> None:
        self.record['alpha_hash'].append(digest(*self.model.architecture.alphas()))
        trained = [p for p in self.model.parameters() if p.requires_grad]
        self.record['weight_hash'].append(digest(*trained))

    def _seen(self, batches):
        for batch in batches:
            self.record['images'].append([digest(image) for image in batch['inputs']])
            yield batch


def digest(*values: Tensor) -> str:
    """Hash of the bytes."""
    parts = [value.detach().contiguous().numpy().tobytes() for value in values]
    return hashlib.sha256(b''.join(parts)).hexdigest()


def search(
    name: str,
    folder: Path,
    *,
    with_bn: bool = False,
    epochs: int = 1,
    spoil: str | None = None,
    alpha_optimizer: dict | None = None,
    second_order: bool = False,
    resume: Path | None = None,
    strategy: str | None = None,
    optimizer: dict | None = None,
) -> dict[str, Any]:
    """Run a reduced search in this process, one of those that the environment tells of.

    Args:
        name: Recipe, such as ``'simsiam_r18_search_cifar10'``.
        folder: Work directory.
        with_bn: Whether to leave BatchNorm where the recipe has it.
        epochs: Length of the run.
        spoil: What to do wrong: ``'alpha'`` keeps the gradients of alpha to each
            process, ``'gather'`` takes mmpretrain's loss of SimCLR, ``'sinkhorn'`` assigns in each
            process alone.
        alpha_optimizer: In place of the recipe's.
        second_order: Whether the alpha step unrolls a weight step.
        resume: Checkpoint to go on from.
        strategy: Config of ``configs/search`` to put on the recipe.
        optimizer: Of the weights, in place of the recipe's.
    """
    processes = int(os.environ['WORLD_SIZE'])
    # Laying out the config takes longer than the run.
    Config.pretty_text = property(lambda self: repr(self.to_dict()))
    work_dir = folder / os.environ['RANK']
    cfg = light(reduced(f'nasiam/{name}', work_dir, epochs, BATCH // processes))
    cfg.experiment_name = folder.name
    cfg.resume, cfg.load_from = resume is not None, resume and str(resume)
    cfg.probe = None
    if 'prototypes' in cfg.default_hooks:  # a queue that is full, and begins anew, within the run
        cfg.model.head.loss.queue_len = BATCH * 3 // 2
        cfg.default_hooks.prototypes.queue_epoch = 0
    share = STEPS * BATCH / 500  # of the fixture's images
    for part in (cfg.train_dataloader, cfg.default_hooks.alpha_step.dataloader):
        part.dataset.dataset.parts = dict(weights=share, alpha=share)
    if strategy is not None:
        merge_strategy(cfg, strategy)
    for name in ('genotype', 'health', 'collapse'):
        cfg.default_hooks.pop(name)
    hook = cfg.default_hooks.alpha_step
    hook.optimizer = alpha_optimizer or hook.optimizer
    hook.second_order = second_order
    if optimizer is not None:
        cfg.optim_wrapper.optimizer = ConfigDict(optimizer)
    if not with_bn:
        # Here, in a process of its own: the tests of the space see the shipped operations only.
        for operation in (linear_gelu, max_pool_3):
            CANDIDATE_OPS.register_module(module=operation)
        leave_out_bn(cfg.model)
    cfg.launcher = 'pytorch' if processes > 1 else 'none'
    if spoil == 'alpha':
        alpha_step_hook.all_reduce = lambda gradient, op: None
    if spoil == 'gather':
        SimCLR.loss = lambda self, inputs, samples, **_: StockSimCLR.loss(self, inputs, samples)
    if spoil == 'sinkhorn':
        prototypes.all_gather = lambda tensor: [tensor]
    record = {key: [] for key in ('alpha', 'alpha_hash', 'weight_hash', 'images', 'gradients')}
    record_gradients(record['gradients'])

    start_processes_on_cpu(cfg)
    runner = RUNNERS.build(cfg)
    runner.register_hook(Recorder(record))
    runner.train()
    model = getattr(runner.model, 'module', runner.model)
    record['state'] = {name: value.clone() for name, value in model.state_dict().items()}
    return record


def record_gradients(gradients: list) -> None:
    """Keep the alpha gradients of this process, before they are averaged."""
    honest = alpha_step_hook.alpha_gradients

    def alpha_gradients(*args):
        loss, own = honest(*args)
        gradients.append([gradient.clone() for gradient in own])
        return loss, own

    alpha_step_hook.alpha_gradients = alpha_gradients


def leave_out_bn(node: Any) -> None:
    """Replace BatchNorm by what treats each sample on its own."""
    if isinstance(node, ConfigDict):
        if 'norm_cfg' in node:
            node.norm_cfg = dict(type='GN', num_groups=1)
        if 'space' in node:
            node.space = WITHOUT_BN
        node.pop('with_last_bn', None), node.pop('with_last_bn_affine', None)
        for value in node.values():
            leave_out_bn(value)


def run_processes(count: int, target: Callable, folder: Path, *args, **kwargs) -> list[dict]:
    """Return ``target(*args, folder=folder, **kwargs)`` of each of some processes.

    Each finds in its environment what torchrun would put there.
    """
    folder.mkdir()
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context('fork')
    started = []
    for rank in range(count):
        environment = dict(
            RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=count, MASTER_ADDR='127.0.0.1', MASTER_PORT=port
        )
        task = context.Process(target=_run, args=(target, folder, environment, args, kwargs))
        task.start()
        started.append(task)
    for task in started:
        task.join(timeout=120)
        if task.exitcode is None:
            task.terminate()
    codes = [task.exitcode for task in started]
    assert codes == [0] * count, f'the processes ended with {codes}; see their output'
    return [torch.load(folder / f'{rank}.pt') for rank in range(count)]


def _run(target: Callable, folder: Path, environment: dict, args: tuple, kwargs: dict) -> None:
    torch.set_num_threads(1)
    os.environ.update({key: str(value) for key, value in environment.items()})
    torch.save(target(*args, folder=folder, **kwargs), folder / f'{environment["RANK"]}.pt')
