# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pruning in order keeps weights, limits and resumes; edges of cells are chosen as in DARTS."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.models.backbones.derive import derived_weights
from nasiam_mm.ops.shapes import LayerShape, MapShape
from nasiam_mm.registry import MODELS
from nasiam_mm.search.edges import TopEdges
from nasiam_mm.search.gradient.pruning import PruneInOrder
from nasiam_mm.search.gradient.schedules import SearchStep
from tests.backbones import CELLS, GATES, MIXED, neck
from tests.small import search, tensors, train

OPS = ['mbconv_3_e3', 'max_pool_3x3', 'identity']


def owner_of(layers, alpha=None, space=OPS):
    choices = {'backbone': op_choices('backbone', space, [MapShape(8, 8)] * layers)}
    owner = Architecture(choices)
    if alpha is not None:
        owner.alpha('backbone').copy_(torch.tensor(alpha))
    return owner


def step_of(owner, done, whole=100):
    runner = SimpleNamespace(logger=SimpleNamespace(info=lambda text: None))
    return SearchStep(runner, owner, None, done, whole)


def counts(owner):
    return owner.present('backbone').sum(1).tolist()


def test_layers_are_pruned_at_equal_distances_input_first():
    owner, schedule = owner_of(4), PruneInOrder(start=0.6)
    seen = []
    for done in range(100):
        schedule.apply(step_of(owner, done))
        seen.append(counts(owner).count(1))
    changes = [n for n in range(1, 100) if seen[n] != seen[n - 1]]
    assert changes == [60, 70, 80, 90] and seen[-1] == 4 and counts(owner) == [1] * 4


def test_the_best_is_left_but_for_the_limits():
    alpha = [[0, 1, 2.0], [0, 1, 2.0], [1, 0, 2.0], [0, 2, 1.0], [0, 2, 1.0]]
    owner = owner_of(5, alpha)
    PruneInOrder(start=0, max_identity=1, max_pool=1).apply(step_of(owner, 99))
    left = owner.present('backbone').nonzero()[:, 1].tolist()
    # An identity, then a pool, then neither.
    assert left == [2, 1, 0, 0, 0]
    free = owner_of(5, alpha)
    PruneInOrder(start=0).apply(step_of(free, 99))
    assert free.present('backbone').nonzero()[:, 1].tolist() == [2, 2, 2, 1, 1]


def test_pruned_again_nothing_changes():
    owner, schedule = owner_of(4, [[0, 1, 2.0]] * 4), PruneInOrder(start=0.6, max_identity=2)
    schedule.apply(step_of(owner, 75))
    state = owner.state_dict()
    again = owner_of(4)
    again.load_state_dict(state)
    again.alpha('backbone').normal_()  # alpha of what is decided counts no more
    for done in (75, 79):
        schedule.apply(step_of(again, done))
        assert torch.equal(again.present('backbone'), owner.present('backbone'))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(start=1), 'PruneInOrder.start must be from 0 to below 1'),
        (dict(max_identity=-1), 'PruneInOrder.max_identity must be None or from 0 up'),
        (dict(max_pool=True), 'PruneInOrder.max_pool must be None or from 0 up'),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        PruneInOrder(**settings)


def test_nothing_to_prune_is_refused():
    owner = owner_of(1, space=['identity'])
    with pytest.raises(ValueError, match='PruneInOrder prunes nothing: no layer has two'):
        PruneInOrder().check(step_of(owner, 0))


class Keep(Hook):
    """Keeps the weights before each iteration."""

    priority = 'LOWEST'

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self.before, self.last = getattr(self, 'last', None), tensors(runner.model)


def pruned(folder, **changes):
    backbone = dict(MIXED['mobilenet'], img_size=8)
    model = dict(backbone=backbone, neck=neck(16), space=None, **GATES)
    cfg = search('simclr', folder, batch_size=8, **model)
    cfg.model.data_preprocessor['views']['size'] = 8
    part = cfg.train_dataloader.dataset
    while 'parts' not in part:
        part = part.dataset
    part.parts = dict(weights=0.1, alpha=0.2)
    alpha = cfg.default_hooks.alpha_step.dataloader.dataset
    while 'parts' not in alpha:
        alpha = alpha.dataset
    alpha.parts = dict(weights=0.1, alpha=0.2)
    cfg.default_hooks.alpha_step.schedules = [dict(type='PruneInOrder', start=0.4)]
    cfg.default_hooks.checkpoint.update(interval=1, by_epoch=False, max_keep_ckpts=-1)
    cfg.update(changes)
    keep = Keep()
    return train(cfg, keep), keep


def test_a_pruned_search_ends_as_the_derived_network_and_resumes_exactly(tmp_path):
    runner, keep = pruned(tmp_path / 'whole')
    model, owner = runner.model, runner.model.architecture
    ended = tensors(model)
    assert counts(owner) == [1] * len(owner.choices['backbone'])
    genotype = load_genotype(tmp_path / 'whole/genotype.json')
    config = {**MIXED['mobilenet'], 'space': None, 'genotype': genotype}
    net = MODELS.build(config)
    net.load_state_dict(derived_weights(model.backbone.state_dict(), net.state_dict()))
    net.to(memory_format=torch.channels_last)  # as the run laid its weights
    images = torch.randn(4, 3, 8, 8)
    # Whatever is drawn, one path is left: the network as it was trained.
    for step in range(2):
        owner.sample(0, step, 'weights')
        assert torch.equal(net.eval()(images)[0], model.backbone.eval()(images)[0])
    # The last iterations moved the weights a step on, and began nothing anew.
    name = 'backbone.stem.0.weight'
    moved = (keep.last[name] - keep.before[name]).norm()
    assert 0 < moved < 0.2 * keep.last[name].norm()
    middle = runner.max_iters * 3 // 4
    again = dict(resume=True, load_from=str(tmp_path / f'whole/iter_{middle}.pth'))
    rest, _ = pruned(tmp_path / 'again', **again)
    state = tensors(rest.model)
    assert all(value.equal(state[name]) for name, value in ended.items())


def cells_owner(normal):
    shapes = [MapShape(8, 8)] * 5
    owner = Architecture({'normal': op_choices('normal', CELLS, shapes)})
    owner.alpha('normal').copy_(normal)
    return owner


def test_a_node_keeps_its_two_strongest_edges_of_what_is_an_edge():
    alpha = torch.zeros(5, 9)
    alpha[:, 8] = 9.0  # 'none' is strongest everywhere, and chosen nowhere
    for edge, (k, value) in enumerate([(0, 1), (4, 2), (1, 3), (6, 1), (2, 2)]):
        alpha[edge, k] = value
    decisions = TopEdges(2).decide(cells_owner(alpha))
    chosen = [decision.chosen[0] for decision in decisions.values()]
    # Two edges into the first node, two of three into the second.
    assert chosen == ['sep_conv_3', 'max_pool_3x3', 'sep_conv_5', 'none', 'dil_conv_3']
    one = [d.chosen[0] for d in TopEdges(1).decide(cells_owner(alpha)).values()]
    assert one == ['none', 'max_pool_3x3', 'sep_conv_5', 'none', 'none']


def test_edges_are_of_cells_with_a_place_for_none():
    def runner(choices):
        model = SimpleNamespace(architecture=Architecture(choices))
        return SimpleNamespace(model=model)

    head = {'projector': op_choices('projector', ['identity'], [LayerShape(4, 4)])}
    with pytest.raises(ValueError, match='TopEdges chooses edges of cells, and none are searched'):
        TopEdges().check(runner(head))
    cells = {'normal': op_choices('normal', ['identity'], [MapShape(4, 4)])}
    with pytest.raises(ValueError, match="which the operation 'none' stands for"):
        TopEdges().check(runner(cells))
    with pytest.raises(ValueError, match='TopEdges.edges must be a positive integer'):
        TopEdges(0)
