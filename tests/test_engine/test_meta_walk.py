# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""An iteration waits for no device, hooks included: walked on the meta device, which has no values.

1. Iterations of every framework's search and pretraining, between two logs, read nothing back and
   mix no devices.
2. Each way of reading back, and a mix of devices, planted into an iteration, fails the walk.
"""

from unittest import mock

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.model import BaseAveragedModel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nasiam_mm.engine import NasiamRunner
from nasiam_mm.models.algorithms.momentum import HostNumber
from nasiam_mm.models.frameworks import FRAMEWORKS
from tests.reduced import ROOT, light, reduced
from tests.small import use_genotype_of_the_search

MADE_OF_VALUES = ('nonzero', '_local_scalar_dense', 'masked_select', 'unique', 'equal')
COPIES = ('_to_copy', 'copy_', '_pin_memory')
RECIPES = sorted(
    path.stem
    for path in (ROOT / 'configs/nasiam').glob('*_cifar10.py')
    if path.stem.split('_')[2] in ('search', 'pretrain')
)
ITERATIONS = 2


class Waits(Exception):
    """A value of the device was asked for."""


class Walked(Exception):
    """Enough iterations were made."""


class NoValues(TorchDispatchMode):
    """Refuse what waits for a device, and operands of two devices."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split('.')[0]
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        if any(x.device.type == 'meta' for x in tensors):
            if name in MADE_OF_VALUES:
                raise Waits(name)
            if name.startswith('index') and any(x.dtype == torch.bool for x in tensors[1:]):
                raise Waits('boolean index')
            # A number of no dimension is taken along to any device.
            if name not in COPIES and any(x.ndim and x.device.type == 'cpu' for x in tensors):
                raise Waits(f'{name} of two devices')
        return func(*args, **(kwargs or {}))


class Walk(Hook):
    """Turn the refusals on from the second iteration to the last; ``plant`` acts in each."""

    priority = 'LOWEST'

    def __init__(self, plant):
        self.plant, self.mode, self.iterations = plant, NoValues(), 0

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if self.plant is not None and self.iterations:
            self.plant(next(runner.model.parameters()))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.iterations += 1
        if self.iterations == 1:
            self.mode.__enter__()
        if self.iterations == ITERATIONS:
            self.mode.__exit__(None, None, None)
            raise Walked


def walk(name, work_dir, plant=None):
    """Train some iterations of a recipe on the meta device; return the error that ended them."""
    MessageHub._instance_dict.clear()
    cfg = light(reduced(f'nasiam/{name}', work_dir, batch_size=16), stages=1)
    cfg.probe = None
    if '_pretrain_' in name:
        use_genotype_of_the_search(cfg, f'nasiam/{name}', work_dir)
    cfg.default_hooks.logger.interval = 1000
    cfg.default_hooks.collapse.interval = 1000
    # Of the epoch's begin and end, where the run waits anyway.
    for hook in ('genotype', 'health', 'resume'):
        if hook in cfg.default_hooks:
            cfg.default_hooks[hook] = None
    cfg.optim_wrapper.optimizer.fused = None  # which meta tensors do not have
    hook = Walk(plant)
    honest = HostNumber.read

    def read(number, buffer):
        # A run learns the counters of its start, which the meta device does not hold, once.
        if hook.iterations == 0 and number._known[0] is not buffer:
            number.write(buffer, 0)
        return honest(number, buffer)

    with (
        mock.patch('mmengine.runner.runner.get_device', lambda: 'meta'),
        mock.patch('nasiam_mm.datasets.replay.get_device', lambda: 'meta'),
        mock.patch.object(NasiamRunner, '_init_model_weights'),
        mock.patch.object(HostNumber, 'read', read),
    ):
        runner = NasiamRunner.from_cfg(cfg)
        for module in runner.model.modules():
            # Moved to meta, a parameter is another object; to a GPU it would stay the same.
            if isinstance(module, BaseAveragedModel):
                module.avg_parameters = dict(module.module.named_parameters())
        runner.register_hook(hook)
        try:
            runner.train()
        except Exception as error:
            if hook.iterations and hook.iterations < ITERATIONS:
                hook.mode.__exit__(None, None, None)
            return error, hook.iterations
    return None, hook.iterations


@pytest.mark.parametrize('name', RECIPES)
def test_no_iteration_waits(name, tmp_path):
    error, iterations = walk(name, tmp_path)
    assert isinstance(error, Walked), repr(error)
    assert iterations == ITERATIONS


@pytest.mark.parametrize(
    'plant',
    [
        lambda x: x.sum().item(),
        lambda x: x.tolist(),
        lambda x: float(x.mean()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.cpu(),
        lambda x: bool((x > 0).all()),
        lambda x: x.flatten()[0] + torch.ones(3),
        lambda x: x.flatten()[torch.arange(3)],
    ],
)
def test_what_waits_is_found(plant):
    with pytest.raises((Waits, RuntimeError, NotImplementedError)), NoValues():
        plant(torch.empty(4, 3, device='meta'))


def test_a_plant_in_an_iteration_ends_the_walk(tmp_path):
    error, iterations = walk('simclr_r18_search_cifar10', tmp_path, lambda x: x[x > 0])
    assert isinstance(error, Waits) and iterations == 1


def test_every_framework_is_walked():
    with_recipes = {path.name.split('_')[0] for path in (ROOT / 'configs/nasiam').glob('*.py')}
    assert {name.split('_')[0] for name in RECIPES} == with_recipes & set(FRAMEWORKS)
