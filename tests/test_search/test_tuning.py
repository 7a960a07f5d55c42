# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A copy to work on: it is the model, its steps are the recipe's, and the run stays as it was.

1. Every selection that measures leaves a run as it was, in every framework, relaxation and mixing,
   and decides the same again.
2. Killed in it and resumed, a run ends with the same genotype.
"""

import copy
import threading
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict

from benchmarks.compare import compare_checkpoints
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.datasets.replay import ReplaySampler
from nasiam_mm.engine.running import get_rng_state
from nasiam_mm.search.batches import alpha_step_hook, check_weight_part, weight_batches
from nasiam_mm.search.criteria import HeldOutContrast
from nasiam_mm.search.selection import SELECTIONS
from nasiam_mm.search.tuning import WeightSteps, copy_of
from tests.small import search, tensors, train
from tests.test_search.conftest import shorten

SMALL = dict(type='HeldOutContrast', batches=1)
MEASURED = dict(
    perturbation=dict(type='Perturbation', criterion=SMALL, tune_steps=1),
    sampled=dict(type='BestOfSampled', criterion=SMALL, n=3, refit_batches=1),
)
SEARCHES = [
    ('simclr', 'Softmax', dict(type='PartialChannels', k=4)),
    ('simclr', 'UniformSampling', dict(type='SinglePath')),
    ('simsiam', 'Sigmoid', dict(type='FullMixing')),
    ('simsiam', 'UniformSampling', dict(type='PartialChannels', k=2, sampled_in=['weights'])),
    ('mocov2', 'GumbelStraightThrough', dict(type='SinglePath')),
    ('mocov2', 'TwoPathGates', dict(type='PartialChannels', k=2)),
    ('byol', 'Sigmoid', dict(type='PartialChannels', k=2)),
    ('byol', 'GumbelStraightThrough', dict(type='SinglePath')),
]


def state(runner):
    """All that a selection could disturb, as one value that compares."""
    model, hook = runner.model, alpha_step_hook(runner)
    loaders = (runner.train_dataloader, hook.loader)
    found = {
        **tensors(model),
        'modes': [module.training for module in model.modules()],
        'gradients': [p.grad for p in model.parameters()],
        'optimizer': runner.optim_wrapper.state_dict(),
        'hook': hook.state_dict(),
        'running': [model.architecture.running(head) for head in model.architecture.choices],
        'places': [(loader.sampler.epoch, loader.sampler.start) for loader in loaders],
        'generators': [loader.generator.get_state().tolist() for loader in loaders],
        'rng': get_rng_state(),
    }
    return {name: plain(value) for name, value in found.items()}


def plain(value):
    """The bytes of tensors, within lists and dicts."""
    if isinstance(value, torch.Tensor):
        return value.detach().contiguous().numpy().tobytes()
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    return [plain(part) for part in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize('kind', MEASURED)
@pytest.mark.parametrize(('framework', 'relaxation', 'mixing'), SEARCHES)
def test_a_run_is_left_as_it_was(framework, relaxation, mixing, kind, ended, tmp_path):
    runner = ended(framework, relaxation=dict(type=relaxation), mixing=mixing)
    runner._work_dir = str(tmp_path)
    architecture = runner.model.architecture
    architecture.sample(0, 5, 'weights')
    selection = SELECTIONS.build(copy.deepcopy(MEASURED[kind]))
    before = state(runner)
    selection.check(runner)
    decisions = selection.finish(runner, architecture)
    after = state(runner)
    assert [name for name in before if before[name] != after[name]] == []
    torch.manual_seed(99)
    assert selection.finish(runner, architecture) == decisions
    names = [choice.name for rows in architecture.choices.values() for choice in rows]
    assert list(decisions) == names
    for decision in decisions.values():
        assert len(decision.chosen) == 1 and len(decision.scored) != 1
        assert not decision.scores or decision.better == ()


class Dead(BaseException):
    """The process is gone."""


@pytest.mark.parametrize('kind', MEASURED)
def test_killed_and_resumed_it_is_made_again(kind, tmp_path, monkeypatch):
    def a_search(folder, resume=False):
        relaxation = dict(type='Softmax', temperature=0.1)
        cfg = search('simclr', tmp_path / folder, relaxation=relaxation)
        shorten(cfg)
        hook = cfg.default_hooks.alpha_step
        hook.optimizer.lr = 0.5
        hook.schedules = [dict(type='Temperature', start=3.0, end=0.5)]
        cfg.default_hooks.genotype.selection = copy.deepcopy(MEASURED[kind])
        cfg.default_hooks.genotype.selection.setdefault('by', 'weights') if kind == 'sampled' else 0
        cfg.resume = resume
        return cfg

    train(a_search('whole'))
    honest, calls = HeldOutContrast.value, []

    def value(self, model):
        calls.append(1)
        if len(calls) > 2:
            raise Dead
        return honest(self, model)

    monkeypatch.setattr(HeldOutContrast, 'value', value)
    with pytest.raises(Dead):
        train(a_search('torn'))
    by_alpha = load_genotype(tmp_path / 'torn/genotype.json')
    assert by_alpha.provenance['selection'] == 'top_k'
    monkeypatch.setattr(HeldOutContrast, 'value', honest)
    train(a_search('torn', resume=True))
    files = ['genotype.json', *(['sampled.json'] if kind == 'sampled' else [])]
    for name in files:
        one, other = ((tmp_path / run / name).read_bytes() for run in ('whole', 'torn'))
        assert one == other, name
    assert load_genotype(tmp_path / 'torn/genotype.json').provenance['selection'] != 'top_k'
    assert compare_checkpoints(*(tmp_path / run / 'epoch_1.pth' for run in ('whole', 'torn'))) == []


def test_what_a_selection_needs_is_asked_for_before_the_search(tmp_path):
    cfg = search('byol', tmp_path)
    selection = dict(type='Perturbation', criterion=dict(type='HeldOutLoss'))
    cfg.default_hooks.genotype.selection = selection
    with pytest.raises(ValueError, match='the loss of BYOL is lowest in collapse'):
        train(cfg)
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize(('lr', 'counts'), [(None, 1), (0.01, 1), (0.01, 2)])
def test_weight_steps_are_those_of_the_recipe(lr, counts, ended):
    runner = ended('simclr')
    runner.cfg = copy.deepcopy(runner.cfg)
    runner.cfg.optim_wrapper.accumulative_counts = counts
    reference, model = copy_of(runner.model), copy_of(runner.model)
    WeightSteps(runner, model, lr).take(2, {('projector', 1): 3})
    reference.architecture.drop('projector', 1, [0, 1, 2])
    began = runner.optim_wrapper.param_groups[0]['initial_lr']
    trained = [p for p in reference.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr or began, momentum=0.9, weight_decay=5e-4)
    batches = weight_batches(runner)
    reference.train()
    for _ in range(2):
        for _ in range(counts):
            data = reference.data_preprocessor(next(batches), True)
            (reference.loss(data['inputs'], None)['loss'] / counts).backward()
        optimizer.step()
        optimizer.zero_grad()
    moved = 0.0
    start = dict(runner.model.named_parameters())
    pairs = zip(model.named_parameters(), reference.parameters(), strict=True)
    for (name, one), other in pairs:
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5, msg=name)
        moved = max(moved, float((one - start[name]).abs().max()))
    assert moved > 1e-4


def test_groups_keep_their_ratios(ended):
    runner = ended('simclr')
    runner.cfg = copy.deepcopy(runner.cfg)
    keys = dict(neck=dict(lr_mult=10))
    runner.cfg.optim_wrapper.paramwise_cfg = ConfigDict(custom_keys=keys)
    runner.optim_wrapper = WeightSteps.__new__(WeightSteps)
    runner.optim_wrapper.optimizer = torch.optim.SGD(
        [dict(params=[torch.zeros(1)], lr=0.1), dict(params=[torch.zeros(1)], lr=0.1)]
    )
    steps = WeightSteps(runner, copy_of(runner.model), 0.01)
    rates = sorted(group['lr'] for group in steps.wrapper.optimizer.param_groups)
    assert rates == pytest.approx([0.01, 0.1])


def test_each_step_draws_its_own_path(ended):
    mixing = dict(type='SinglePath')
    runner = ended('simclr', relaxation=dict(type='UniformSampling'), mixing=mixing)
    model, ran = copy_of(runner.model), []
    runner.cfg = copy.deepcopy(runner.cfg)
    model.neck.cell.register_forward_pre_hook(
        lambda cell, args: ran.append(cell.architecture.running('projector'))
    )
    WeightSteps(runner, model).take(3, {('projector', 0): 2})
    steps = alpha_step_hook(runner).steps
    expected = []
    for n in range(3):
        runner.model.architecture.sample(runner.seed, steps + n, 'weights')
        expected.append(((2,), *runner.model.architecture.running('projector')[1:]))
    assert ran == expected and len(set(expected)) > 1


def test_a_copy_leaves_listeners_and_compiled_code_behind(ended):
    class Listener:
        lock = None

        def __init__(self):
            self.lock = threading.Lock()  # cannot be copied

        def listen(self, module, inputs, output):
            raise AssertionError('the copy is heard')

    model = copy.deepcopy(ended('byol').model)
    listener = Listener()
    model.neck.register_forward_hook(listener.listen)
    doubled = model.data_preprocessor.register_forward_hook(lambda *_: 'kept')
    forward = model.backbone.forward
    model.backbone.forward = lambda x: forward(x)
    model.architecture.auxiliary = model.architecture.identity_dropout = 0.5
    twin = copy_of(model)
    assert listener.listen in model.neck._forward_hooks.values() and not twin.neck._forward_hooks
    assert doubled.id in twin.data_preprocessor._forward_hooks
    assert 'forward' in vars(model.backbone) and 'forward' not in vars(twin.backbone)
    assert twin.architecture.auxiliary == twin.architecture.identity_dropout == 0
    assert model.architecture.auxiliary == 0.5
    assert twin.neck.cell.architecture is twin.architecture is not model.architecture
    assert twin.target_net.module[1].cell.architecture is twin.architecture
    before = tensors(model)
    with torch.no_grad():
        for value in (*twin.parameters(), *twin.buffers()):
            value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in tensors(model).items())


def test_a_weight_part_that_cannot_be_walked_is_refused(ended):
    images = ended('simclr').train_dataloader.dataset
    runner = SimpleNamespace(train_dataloader=torch.utils.data.DataLoader(images, 32))
    with pytest.raises(ValueError, match=r'ReplaySampler.*; got SequentialSampler'):
        check_weight_part(runner)
    few = torch.utils.data.DataLoader(images, 128, sampler=ReplaySampler(images, seed=0))
    with pytest.raises(ValueError, match='has 100 images per process, fewer than a batch of 128'):
        check_weight_part(SimpleNamespace(train_dataloader=few))


@pytest.mark.parametrize(('kind', 'relaxation'), [('perturbation', None), ('sampled', 'uniform')])
def test_with_alpha_fixed_the_weights_are_all_that_is_searched_with(kind, relaxation, tmp_path):
    # DARTS-PT's blank-pt, and SPOS.
    parts = dict(relaxation=dict(type='UniformSampling'), mixing=dict(type='SinglePath'))
    cfg = search('simsiam', tmp_path, **(parts if relaxation else {}))
    shorten(cfg)
    cfg.default_hooks.alpha_step.optimizer = None
    cfg.default_hooks.genotype.selection = copy.deepcopy(MEASURED[kind])
    runner = train(cfg)
    assert not any(alpha.any() for alpha in runner.model.architecture.alphas())
    genotype = load_genotype(tmp_path / 'genotype.json')
    assert genotype.provenance['selection'] == SELECTIONS.build(MEASURED[kind]).name
    assert genotype.provenance['criterion']['type'] == 'HeldOutContrast'
    by_alpha = load_genotype(tmp_path / 'genotypes/epoch_1.json')
    assert {d.chosen for d in by_alpha.decisions.values()} == {('linear_bn_relu',)}
    # Chosen by the images, not by a tie.
    assert not any(decision.tied for decision in genotype.decisions.values())
    assert [d.chosen for d in genotype.decisions.values()] != [('linear_bn_relu',)] * 5


def test_a_setting_of_a_criterion_that_nothing_reads_is_refused(tmp_path):
    cfg = search('simclr', tmp_path)
    selection = dict(type='Perturbation', criterion=dict(SMALL, temprature=0.1))
    cfg.default_hooks.genotype.selection = selection
    told = r"selection\.criterion\.temprature'; did you mean .*temperature"
    with pytest.raises(ValueError, match=told):
        train(cfg)
