# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""PIRL's loss is that of the paper, its bank a moving average of each image's projections."""

import copy
from math import exp, log

import pytest
import torch
from mmengine.hooks import Hook
from torch.nn.functional import normalize

from nasiam_mm.checks.before_training import find_problems
from nasiam_mm.models import PIRLHead, TwoViewPreprocessor
from nasiam_mm.search.gradient.gradients import alpha_gradients
from tests.reduced import light, reduced
from tests.small import leave_hooks, search, tensors, train
from tests.test_models.test_algorithms.toys import DIM, build, disturb, unit, views

LENGTH, NEGATIVES, TEMPERATURE, WEIGHT = 12, 7, 0.07, 0.5


def pirl(**changes):
    settings = dict(bank_len=LENGTH, feat_dim=DIM, negatives=NEGATIVES)
    return build('PIRL', **{**settings, **changes})


def drawn_by(model, data, rows, **kwargs):
    """Return the loss, and the head's arguments in it."""
    taken, honest = [], model.head.loss
    model.head.loss = lambda *args: taken.append(args) or honest(*args)
    loss = model.loss(data, rows, **kwargs)['loss']
    del model.head.loss
    return loss, taken[0]


def nce(z, row, negatives, number, drawn):
    """-log h(m, z) - sum log(1 - h(n, z)) of one image (PIRL, eq. 3 and 4)."""
    others = [n for n, index in zip(negatives, drawn, strict=True) if index != number]
    total = sum((z @ n / TEMPERATURE).exp() for n in others)
    h = [
        (z @ m / TEMPERATURE).exp() / ((z @ m / TEMPERATURE).exp() + total) for m in (row, *others)
    ]
    return -h[0].log() - sum((1 - each).log() for each in h[1:])


def paper(model, data, rows, drawn):
    bank, total = model.bank.clone(), 0
    for weight, view in ((1 - WEIGHT, data[0]), (WEIGHT, data[1])):
        for z, number in zip(unit(model.neck(model.backbone(view))[0]), rows, strict=True):
            total = total + weight * nce(z, bank[number], bank[drawn], number, drawn)
    return total / len(rows)


def negatives_of(model, given):
    """Find which rows of the bank were given as negatives."""
    equal = (given[3][:, None] == model.bank).all(2)
    assert (equal.sum(1) == 1).all()
    return equal.long().argmax(1)


@pytest.mark.parametrize('rows', [[3, 0, 11, 5], [7, 2], list(range(LENGTH))])
def test_loss_and_gradient_are_those_of_the_paper(rows):
    model, data = pirl().double(), [view.double() for view in views(len(rows))]
    rows = torch.tensor(rows)
    twin = copy.deepcopy(model)
    loss, given = drawn_by(model, data, rows)
    drawn = negatives_of(twin, given)
    assert given[4].equal(rows[:, None] == drawn) and len(set(drawn.tolist())) > 2
    expected = paper(twin, data, rows, drawn)
    torch.testing.assert_close(loss, expected)
    loss.backward(), expected.backward()
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        assert (own.grad is None) == (other.grad is None)
        if own.grad is not None:
            torch.testing.assert_close(own.grad, other.grad, atol=1e-12, rtol=1e-8)


def test_closed_forms_and_an_own_row_is_no_negative():
    head, count = PIRLHead(TEMPERATURE), 5
    one, none = torch.tensor([[1.0, 0.0]]), torch.zeros(1, count, dtype=torch.bool)
    negatives = torch.tensor([[0.0, 1.0]]).repeat(count, 1)
    # h of the row is 1 / (1 + K e^(-1/T)), of each negative 1 / (1 + K).
    others = -count * log(1 - 1 / (1 + count))
    best = log(1 + count * exp(-1 / TEMPERATURE)) + others
    assert head.loss(one, one, one, negatives, none).item() == pytest.approx(best, rel=1e-5)
    # All of one point: h is 1 / (1 + K) of all.
    alike = log(1 + count) + others
    same = one.repeat(count, 1)
    assert head.loss(one, one, one, same, none).item() == pytest.approx(alike, rel=1e-5)
    assert best < alike
    own = torch.tensor([[False] * count + [True]])
    found = head.loss(one, one, one, torch.cat([negatives, one]), own)
    assert found.item() == pytest.approx(best, rel=1e-5)


def test_the_bank_is_a_moving_average_of_each_image_s_projections():
    model = pirl(momentum=0.5).double()
    expected = model.bank.clone()
    torch.testing.assert_close(expected.norm(dim=1), torch.ones(LENGTH).double(), atol=1e-6, rtol=0)
    for step in range(5):
        data = [view.double() for view in views()]
        rows = torch.randperm(LENGTH)[:4]
        projected = unit(copy.deepcopy(model).neck(copy.deepcopy(model).backbone(data[0]))[0])
        model.loss(data, rows)
        for row, v in zip(rows.tolist(), projected.detach(), strict=True):
            moved = 0.5 * expected[row] + 0.5 * v
            expected[row] = moved / moved.norm()
        torch.testing.assert_close(model.bank, expected, atol=1e-6, rtol=1e-6)
        assert model.steps.item() == step + 1
        disturb(model)


def test_one_vector_again_and_again_is_reached_by_the_closed_form():
    model, v = pirl(), normalize(torch.randn(1, DIM), dim=1)
    rows, start = torch.tensor([2]), model.bank[2:3].clone()
    angle = torch.acos((start * v).sum())
    for _ in range(4):
        model._write(rows, model.bank[rows].clone(), v)
    # The mean of two unit vectors halves the angle between them.
    torch.testing.assert_close(torch.acos((model.bank[2:3] * v).sum()), angle / 2**4)


def test_the_alpha_step_leaves_the_bank_and_needs_no_row():
    model, data = pirl(), dict(inputs=views(), data_samples=torch.tensor([90, 91, 92, 93]))
    before, state = tensors(model), torch.get_rng_state()
    _, gradients = alpha_gradients(model, data, model.architecture.alphas())
    assert all(gradient.abs().sum() > 0 for gradient in gradients)
    assert all(torch.equal(value, before[name]) for name, value in tensors(model).items())
    assert torch.equal(torch.get_rng_state(), state)
    # The image's own projection stands for the row.
    _, given = drawn_by(model, data['inputs'], data['data_samples'], update_state=False)
    assert torch.equal(given[0], given[2]) and not given[2].requires_grad and not given[4].any()


def test_negatives_are_a_function_of_the_step():
    model, data, rows = pirl(bank_len=1000, negatives=400), views(), torch.arange(4)
    twin, seen = copy.deepcopy(model), []
    for _ in range(3):
        start = copy.deepcopy(model)
        drawn = negatives_of(start, drawn_by(model, data, rows)[1])
        assert torch.equal(drawn, negatives_of(start, drawn_by(twin, views(), rows + 9)[1]))
        seen.append(drawn)
        twin.load_state_dict(model.state_dict())  # as a resumed run
    assert not torch.equal(seen[0], seen[1]) and not torch.equal(seen[1], seen[2])
    # Uniform: of 1200 draws about 1000 (1 - e^(-1.2)) rows.
    assert 640 < len(set(torch.cat(seen).tolist())) < 760


def test_what_is_out_of_range_is_refused():
    told = 'PIRL.bank_len is 12, but there is a sample 12; enlarge it'
    with pytest.raises(ValueError, match=told):
        pirl().loss(views(), torch.tensor([0, 1, 2, 12]))
    for wrong in (dict(bank_len=1), dict(negatives=1), dict(momentum=1.0)):
        with pytest.raises(ValueError, match='PIRL needs bank_len and negatives of at least 2'):
            pirl(**wrong)


def test_a_preprocessor_hands_the_numbers_on_in_training_alone():
    view = dict(size=8, scale=(0.2, 1.0))
    made = TwoViewPreprocessor([0.0] * 3, [1.0] * 3, view, with_index=True)
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    batch = dict(inputs=images, view_seed=torch.arange(2), sample_idx=torch.tensor([5, 3]))
    assert made(batch, True)['data_samples'].tolist() == [5, 3]
    assert made(dict(inputs=images), False)['data_samples'] is None
    del batch['sample_idx']
    assert made(batch, True)['data_samples'] is None  # of a held-out part


def test_without_numbers_rows_are_written_in_turn_and_it_is_said():
    model = pirl()
    for first in (0, 4, 8, 0):
        before = model.bank.clone()
        model.loss(views(), None)
        moved = (model.bank != before).any(1)
        assert moved.nonzero().flatten().tolist() == [first + n for n in range(4)]
    assert model._has_told


@pytest.mark.parametrize('kind', ['ResidentDataset', 'ReplayDataset'])
def test_a_run_writes_the_row_of_each_image_it_saw(kind, tmp_path):
    cfg = light(reduced('nasiam/pirl_r18_search_cifar10', tmp_path), stages=1)
    leave_hooks(cfg, 'alpha_step')
    cfg.probe, cfg.model.bank_len = None, 260
    cfg.train_dataloader.dataset.type = kind
    if kind == 'ReplayDataset':
        cfg.train_dataloader.update(collate_fn=dict(type='default_collate'))
        cfg.train_dataloader.dataset.with_view_seed = True
    seen = Seen()
    model = train(cfg, seen).model
    assert len(set(seen.rows)) == len(seen.rows) == 7 * 32
    moved = (model.bank != seen.start[0]).any(1).nonzero().flatten().tolist()
    assert moved == sorted(seen.rows) and max(moved) < 250
    assert model.steps.item() == 7 and not model._has_told


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        ({}, []),
        (
            {'model.bank_len': 99},
            ['PIRL.bank_len is 99, but there are 100 images to train on; set'],
        ),
        ({'train_dataloader.dataset.with_index': False}, ['the samples have no numbers, rows of']),
        ({'model.data_preprocessor.with_index': False}, ['the samples have no numbers, rows of']),
    ],
)
def test_images_without_rows_are_found_before_a_training(changes, told, tmp_path):
    cfg = reduced('nasiam/pirl_r18_search_cifar10_demo', tmp_path / 'work')
    cfg.merge_from_dict(changes)
    found = find_problems(cfg)
    assert len(found) == len(told)
    assert all(text in str(problem) for problem, text in zip(found, told, strict=True))


class Seen(Hook):
    """Notes the bank before the run, and the numbers of the images of its weight steps."""

    def __init__(self):
        self.start, self.rows = [], []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.start.append(runner.model.bank.clone())
        self.rows += data_batch['sample_idx'].tolist()


def test_the_guard_is_silent_where_nothing_collapses(tmp_path):
    cfg = search('pirl', tmp_path, epochs=2, batch_size=32)
    cfg.default_hooks.collapse = dict(type='CollapseHook', interval=1, action='stop', patience=2)
    runner = train(cfg)
    assert 'embeddings collapsed' not in next(tmp_path.glob('*/*.log')).read_text()
    assert runner.epoch == 2 and not runner.train_loop.stop_training


def test_collapse_is_seen_by_the_guard_and_costs_more_than_its_opposite(tmp_path):
    cfg = search('pirl', tmp_path, epochs=2, batch_size=32)
    cfg.default_hooks.collapse = dict(type='CollapseHook', interval=1, action='stop', patience=2)
    # Decay that takes all but a tenth of each weight in a step: only a bias is left of z.
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=1.0, weight_decay=0.9)
    cfg.param_scheduler = []
    runner = train(cfg)
    assert 'embeddings collapsed in iteration' in next(tmp_path.glob('*/*.log')).read_text()
    assert runner.train_loop.stop_training and not runner.model.is_least_in_collapse
