# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: compiled parts train as the plain ones do; evaluation, state dict and hooks stay plain.

Where there is a C++ compiler the parts are compiled to machine code, elsewhere traced and run by
torch.
"""

import copy
import shutil

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MessageHub
from mmengine.runner import Runner

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.engine.hooks.speed_hooks import CompileHook
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.ops.candidates import SPACES
from tests.reduced import in_float64, light, reduced

BACKEND = 'inductor' if shutil.which('g++') or shutil.which('clang++') else 'aot_eager'


@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()


class Trace(Hook):
    """Notes loss and alpha of every iteration, and whether the neck's hooks see its output."""

    priority = 'LOWEST'

    def __init__(self):
        self.losses, self.alphas, self.seen = [], [], 0

    def before_train(self, runner):
        runner.model.neck.register_forward_hook(lambda *_: setattr(self, 'seen', self.seen + 1))

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.losses.append(outputs['loss'].item())
        alphas = runner.model.architecture.alphas()
        self.alphas.append(torch.cat([alpha.detach().flatten() for alpha in alphas]))


def search(framework, work_dir, hook=None):
    MessageHub._instance_dict.clear()
    name = f'nasiam/{framework}_r18_search_cifar10'
    cfg = light(reduced(name, work_dir, batch_size=16), stages=1)
    for head in (cfg.model.neck, cfg.model.head.get('predictor', {})):
        if 'depth' in head:
            head.depth = 2
    cfg.probe = None
    if hook is not None:
        cfg.default_hooks.compile = hook
    alpha_hook = cfg.default_hooks.alpha_step
    for part in (cfg.train_dataloader, alpha_hook.dataloader):
        part.dataset.dataset.parts = dict(weights=0.25, alpha=0.25)
    runner = in_float64(Runner.from_cfg(cfg))
    trace = Trace()
    runner.register_hook(trace)
    runner.train()
    return runner, trace


@pytest.mark.parametrize('framework', ['simsiam', 'mocov2'])
def test_a_traced_search_walks_the_path_of_the_plain_one(framework, tmp_path):
    _, plain = search(framework, tmp_path / 'plain')
    hook = dict(type='CompileHook', backend='aot_eager')
    runner, compiled = search(framework, tmp_path / 'compiled', hook)
    assert len(plain.losses) >= 5
    assert plain.losses == pytest.approx(compiled.losses, rel=1e-8, abs=1e-8)
    for a, b in zip(plain.alphas, compiled.alphas, strict=True):
        assert torch.allclose(a, b, atol=1e-9)
    assert compiled.seen == plain.seen > 0
    # What was put in place for training is gone.
    assert not [m for m in runner.model.modules() if 'forward' in m.__dict__]
    copy.deepcopy(runner.model)


@pytest.mark.parametrize('learns', ['alpha', 'weights'])
def test_a_compiled_head_agrees_with_the_plain_one(learns):
    torch.manual_seed(0)
    plain = HeadMLP('projector', 8, 8, 4, depth=2, space=SPACES["S'"]).train()
    compiled = copy.deepcopy(plain)
    for head in (plain, compiled):
        choices = op_choices('projector', head.cell.space, head.cell.shapes)
        head.owner = Architecture({'projector': choices})
        head.cell.bind(head.owner)

    class Run:
        hooks = []
        model = torch.nn.ModuleDict({'neck': compiled})
        logger = type('Logger', (), {'info': staticmethod(lambda text: None)})

    CompileHook(backend=BACKEND).before_train(Run)
    features = torch.randn(16, 8, 2, 2)
    results = []
    for head in (plain, compiled):
        alpha = head.owner.alpha('projector')
        alpha.requires_grad_(learns == 'alpha')
        weights = list(head.parameters())
        for weight in weights:
            weight.requires_grad_(learns == 'weights')
        (output,) = head([features])
        learned = [alpha] if learns == 'alpha' else weights
        results.append([output, *torch.autograd.grad(output.square().sum(), learned)])
        results[-1] += [b for name, b in head.named_buffers() if 'running' in name]
    for a, b in zip(*results, strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)


def test_training_runs_the_compiled_code_and_evaluation_the_plain(tmp_path):
    calls = []

    class Run:
        hooks = []
        model = torch.nn.ModuleDict({'backbone': torch.nn.Linear(3, 2)})
        logger = type('Logger', (), {'info': staticmethod(lambda text: None)})

    def backend(graph, inputs):
        calls.append(graph)
        return graph.forward

    keys = list(Run.model.state_dict())
    hook = CompileHook(backend=backend)
    hook.before_train(Run)
    Run.model.eval()['backbone'](torch.ones(1, 3))
    assert calls == []
    Run.model.train()['backbone'](torch.ones(1, 3))
    assert len(calls) == 1
    assert list(Run.model.state_dict()) == keys
    hook.after_train(Run)
    assert 'forward' not in Run.model['backbone'].__dict__


def test_second_order_is_refused(tmp_path):
    MessageHub._instance_dict.clear()
    cfg = reduced('nasiam/simclr_r18_search_cifar10', tmp_path)
    cfg.custom_hooks = [dict(type='CompileHook')]
    cfg.default_hooks.alpha_step.second_order = True
    with pytest.raises(ValueError, match='cannot differentiate twice'):
        Runner.from_cfg(cfg).train()
