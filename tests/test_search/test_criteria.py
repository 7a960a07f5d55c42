# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What supernets are measured by: against formulas, on held-out images alone."""

import copy

import pytest
import torch
from torch import nn

from nasiam_mm.datasets.split import shared_images
from nasiam_mm.search.batches import alpha_step_hook, held_out_batches, weight_batches
from nasiam_mm.search.criteria import CRITERIA
from nasiam_mm.search.tuning import copy_of, normalise_by_batch


def measured(runner, criterion, model=None):
    """Measure a copy of the model as it is, heads normalised by the batch."""
    model = model or copy_of(runner.model)
    criterion = CRITERIA.build(criterion)
    criterion.check(runner)
    criterion.prepare(runner, model)
    normalise_by_batch(model)
    return criterion.value(model)


@pytest.mark.parametrize('framework', ['simclr', 'byol'])
def test_contrast_is_info_nce_of_two_views(framework, ended):
    runner = ended(framework)
    model = copy_of(runner.model)
    normalise_by_batch(model)
    losses = []
    with torch.no_grad():
        for batch in held_out_batches(runner, 3):
            views = model.data_preprocessor(batch, True)['inputs']
            z = [model.neck(model.backbone(view))[0] for view in views]
            q = z if framework == 'simclr' else [model.head.predictor((x,))[0] for x in z]
            for query, key in ((q[0], z[1]), (q[1], z[0])):
                for n in range(len(key)):
                    cosines = torch.cosine_similarity(query[n].double(), key.double()) / 0.5
                    losses.append(cosines.logsumexp(0) - cosines[n])
    expected = -float(torch.stack(losses).mean())
    found = measured(runner, dict(type='HeldOutContrast', batches=3, temperature=0.5))
    assert found == pytest.approx(expected, abs=1e-5)


def test_contrast_hears_of_every_layer_where_a_head_predicts(ended):
    runner = ended('simsiam')
    criterion = dict(type='HeldOutContrast', batches=1)
    whole = measured(runner, criterion)
    for head, rows in runner.model.architecture.choices.items():
        for n in range(len(rows)):
            model = copy_of(runner.model)
            model.architecture.drop(head, n, [0])
            assert measured(runner, criterion, model) != whole, (head, n)


def test_contrast_is_chance_where_images_look_alike_and_best_where_views_do(ended):
    runner = ended('simclr')
    model = copy_of(runner.model)
    criterion = CRITERIA.build(dict(type='HeldOutContrast', batches=2))
    criterion.prepare(runner, model)
    value = criterion.value(model)
    criterion._measured = [[view, view] for view, _ in criterion._measured]
    assert criterion.value(model) > max(value, -torch.tensor(32.0).log().item())
    nn.init.zeros_(model.neck.output[0].weight)
    assert criterion.value(model) == pytest.approx(-torch.tensor(32.0).log().item(), abs=1e-5)


@pytest.mark.parametrize('framework', ['simclr', 'mocov2', 'swav'])
def test_loss_is_that_of_the_alpha_step(framework, ended):
    runner = ended(framework)
    model = copy_of(runner.model)
    normalise_by_batch(model)
    losses = []
    with torch.no_grad():
        for batch in held_out_batches(runner, 2):
            data = model.data_preprocessor(batch, True)
            losses.append(model.loss(data['inputs'], None, update_state=False)['loss'].item())
    found = measured(runner, dict(type='HeldOutLoss', batches=2))
    assert found == pytest.approx(-sum(losses) / 2, abs=1e-6)


@pytest.mark.parametrize('framework', ['simsiam', 'byol'])
def test_a_loss_that_ranks_backwards_is_refused(framework, ended):
    runner = ended(framework)
    told = "is lowest in collapse; select by criterion=dict(type='HeldOutContrast')"
    with pytest.raises(ValueError) as refused:
        CRITERIA.build(dict(type='HeldOutLoss')).check(runner)
    assert str(refused.value).endswith(told) and '\n' not in str(refused.value)


def test_neighbours_are_those_of_z_among_held_out_images(ended):
    runner = ended('simclr')
    model = copy_of(runner.model)
    criterion = CRITERIA.build(dict(type='EmbeddingNeighbours', images=60, k=3))
    criterion.check(runner)
    rows = criterion._loader.dataset
    assert len(rows) == 60 and len(set(rows.indices)) == 60
    assert not len(shared_images(rows.dataset, runner.train_dataloader.dataset))
    criterion.prepare(runner, model)
    normalise_by_batch(model)
    found = criterion.value(model)
    # All images as one batch, by hand.
    samples = [rows[n] for n in range(60)]
    images = torch.stack([sample['inputs'] for sample in samples])
    labels = torch.tensor([int(sample['data_samples'].gt_label) for sample in samples])
    model.backbone.eval()
    with torch.no_grad():
        inputs = model.data_preprocessor(dict(inputs=images), False)['inputs']
        z = torch.nn.functional.normalize(model.neck(model.backbone(inputs))[0].double())
    cosines = (z @ z.T).fill_diagonal_(-2)
    right = 0
    for row, label in zip(cosines, labels, strict=True):
        votes = torch.zeros(10)
        for n in row.argsort(descending=True)[:3]:
            votes[labels[n]] += float((row[n] / 0.1).exp())
        right += int(votes.argmax() == label)
    assert found == pytest.approx(100 * right / 60)
    assert criterion.value(model) == found


@pytest.mark.parametrize(
    ('change', 'told'),
    [
        (lambda cfg: cfg.pop('probe'), 'give the config a probe section'),
        (lambda cfg: cfg.probe.update(query=cfg.probe.bank), 'shares 100 with the weight part'),
        (
            lambda cfg: cfg.probe.query.dataset.dataset.update(split='test'),
            'probe.query reads the test split',
        ),
    ],
)
def test_neighbours_never_see_other_images(change, told, ended):
    runner = ended('simclr')
    runner.cfg = copy.deepcopy(runner.cfg)
    change(runner.cfg)
    with pytest.raises(ValueError, match=told) as refused:
        CRITERIA.build(dict(type='EmbeddingNeighbours', images=60)).check(runner)
    assert '\n' not in str(refused.value)


def test_more_neighbours_than_images(ended):
    with pytest.raises(ValueError, match=r'EmbeddingNeighbours\.k is 200, of 150 images'):
        CRITERIA.build(dict(type='EmbeddingNeighbours', k=200)).check(ended('simclr'))


def test_batches_are_held_out_and_the_same_at_every_call(ended):
    runner = ended('simclr')
    loader = alpha_step_hook(runner).loader
    place = loader.sampler.epoch, loader.sampler.start, loader.generator.get_state()
    once, again = (held_out_batches(runner, 6) for _ in range(2))
    for one, other in zip(once, again, strict=True):
        assert torch.equal(one['inputs'], other['inputs'])
        assert torch.equal(one['view_seed'], other['view_seed'])
    # A pass has four batches: the fifth begins another, with other views.
    assert not torch.equal(once[0]['view_seed'], once[4]['view_seed'])
    held_out = {image.numpy().tobytes() for image in loader.dataset.images}
    weights = {image.numpy().tobytes() for image in runner.train_dataloader.dataset.images}
    seen = {image.numpy().tobytes() for batch in once for image in batch['inputs']}
    assert seen <= held_out and not seen & weights
    drawn = next(weight_batches(runner))['inputs']
    assert {image.numpy().tobytes() for image in drawn} <= weights
    now = loader.sampler.epoch, loader.sampler.start, loader.generator.get_state()
    assert now[:2] == place[:2] and torch.equal(now[2], place[2])


def test_a_run_without_a_held_out_part_is_refused(ended):
    runner = ended('simclr')
    runner._hooks = [hook for hook in runner.hooks if hook is not alpha_step_hook(runner)]
    with pytest.raises(ValueError, match='there is none; set default_hooks.alpha_step'):
        CRITERIA.build(dict(type='HeldOutContrast')).check(runner)


@pytest.mark.parametrize(
    'config',
    [
        dict(type='HeldOutContrast', batches=0),
        dict(type='HeldOutContrast', temperature=0),
        dict(type='HeldOutLoss', batches='2'),
        dict(type='EmbeddingNeighbours', k=0),
        dict(type='EmbeddingNeighbours', images=10),
        dict(type='EmbeddingNeighbours', temperature=float('nan')),
    ],
)
def test_settings_that_cannot_be(config):
    with pytest.raises(ValueError, match=config['type']) as refused:
        CRITERIA.build(config)
    assert '\n' not in str(refused.value)
