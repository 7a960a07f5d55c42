# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about feature extraction.

1. The features are those of the backbone in evaluation mode, pooled, in order, with their labels.
2. Extraction leaves modes, buffers and generators alone, also when it fails.
3. Two processes extract what one extracts, with the buffers of rank 0, and keep their own.
4. Each unusable loader, batch or backbone has its own message.
"""

import copy
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import DataLoader, SubsetRandomSampler

from nasiam_mm.engine import optim
from nasiam_mm.probes.feature_sets import extract_features
from nasiam_mm.registry import MODELS
from tests.test_engine.toy_siamese import MEAN, STD, Blobs, loader_cfg, model_cfg, run_two_processes


def loader(dataset, batch_size=16, **kwargs):
    return DataLoader(dataset, batch_size, collate_fn=default_collate, **kwargs)


def expected_features(model, dataset):
    """Normalise, run and pool by hand, whole set at once."""
    model = copy.deepcopy(model).eval()
    images = (dataset.images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        return model.backbone(images)[-1].flatten(2).mean(2)


@pytest.mark.parametrize('both_stages', [False, True])
def test_features_are_those_of_the_backbone(both_stages):
    model, dataset = MODELS.build(model_cfg()), Blobs(21)
    model.backbone.both_stages = both_stages
    features, labels = extract_features(model, loader(dataset))
    assert features.dtype == torch.float32 and features.shape == (21, 8)
    assert torch.equal(labels, dataset.labels)
    torch.testing.assert_close(features, expected_features(model, dataset))


@pytest.mark.parametrize(
    ('wrapper', 'has_bfloat16', 'is_coarse'),
    [
        (dict(type='AutocastOptimWrapper'), True, True),
        (dict(type='AmpOptimWrapper', dtype='bfloat16'), True, True),
        (dict(type='AutocastOptimWrapper'), False, False),
        (dict(type='AmpOptimWrapper'), True, False),
        (dict(type='OptimWrapper'), True, False),
        (None, True, False),
    ],
)
def test_precision_is_that_of_training(wrapper, has_bfloat16, is_coarse, monkeypatch):
    monkeypatch.setattr(optim, 'computes_bfloat16', lambda: has_bfloat16)
    model, dataset = MODELS.build(model_cfg()), Blobs(21)
    features, _ = extract_features(model, loader(dataset), dict(optim_wrapper=wrapper))
    expected = expected_features(model, dataset)
    difference = (features - expected).abs().max() / expected.abs().max()
    assert features.dtype == torch.float32
    # bfloat16 has eight bits.
    assert (1e-4 < difference < 0.05) if is_coarse else difference < 1e-5


def test_extraction_leaves_no_trace():
    model, dataset = MODELS.build(model_cfg()).train(), Blobs(21)
    model.head.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    assert not modes['backbone.stage1.1'] and modes['backbone.stage2.1'] and not modes['head']
    state = copy.deepcopy(model.state_dict())
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)

    features, _ = extract_features(model, loader(dataset, shuffle=True))

    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not features.requires_grad


def test_mode_and_generators_survive_an_error():
    model = MODELS.build(model_cfg()).train()
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match=r'got a list of 2; .* without MultiView'):
        extract_features(model, loader(Blobs(21, views=2)))
    assert model.training and model.backbone.stage2[1].training
    assert torch.equal(torch.get_rng_state(), state)


def test_backbone_of_vectors():
    model, dataset = MODELS.build(model_cfg()), Blobs(5)
    model.backbone = nn.Flatten()
    features, _ = extract_features(model, loader(dataset))
    assert features.shape == (5, 3 * 8 * 8)
    model.backbone = nn.Flatten(2)
    with pytest.raises(ValueError, match=r'\(N, D, H, W\) or \(N, D\), got \(5, 3, 64\)'):
        extract_features(model, loader(dataset))


def test_loaders_that_do_not_visit_each_image_once():
    model, dataset = MODELS.build(model_cfg()), Blobs(21)
    with pytest.raises(ValueError, match='saw 16 images on rank 0 of 1 in a set of 21; set drop_'):
        extract_features(model, loader(dataset, drop_last=True))
    with pytest.raises(ValueError, match='saw 3 images on rank 0 of 1 in a set of 21'):
        extract_features(model, loader(dataset, sampler=SubsetRandomSampler([1, 2, 3])))
    cfg = loader_cfg(size=21)
    cfg['sampler']['type'] = 'InfiniteSampler'
    with pytest.raises(ValueError, match='cannot use InfiniteSampler'):
        extract_features(model, Runner.build_dataloader(cfg))


@pytest.mark.parametrize(
    ('samples', 'message'),
    [
        ([DataSample(), DataSample()], 'DataSample with gt_label None'),
        ([DataSample().set_gt_label([0, 1])] * 2, r'DataSample with gt_label tensor\(\[0, 1\]\)'),
        (torch.tensor([0, 1]), 'got Tensor with gt_label None'),
        (None, 'got NoneType with gt_label None'),
    ],
)
def test_batches_without_labels(samples, message):
    model = MODELS.build(model_cfg())
    batches = DataLoader(
        Blobs(2),
        2,
        collate_fn=lambda _: {'inputs': torch.randn(2, 3, 8, 8), 'data_samples': samples},
    )
    with pytest.raises(ValueError, match=message):
        extract_features(model, batches)


def extract_on_rank(rank, size, round_up, shuffle):
    torch.manual_seed(0)
    model, dataset = MODELS.build(model_cfg()), Blobs(size)
    mean = model.backbone.stage2[1].running_mean
    mean += rank  # each rank its own statistics, as without SyncBN
    own = mean.clone()
    sampler = DefaultSampler(dataset, shuffle=shuffle, seed=4, round_up=round_up)
    features, labels = extract_features(model, loader(dataset, batch_size=4, sampler=sampler))
    return {'features': features, 'labels': labels, 'kept': torch.equal(mean, own)}


@pytest.mark.parametrize(
    ('size', 'round_up', 'shuffle'), [(21, True, False), (21, False, False), (21, True, True)]
)
def test_two_processes_extract_what_one_extracts(tmp_path, size, round_up, shuffle):
    first, second = run_two_processes(extract_on_rank, tmp_path, size, round_up, shuffle)
    torch.manual_seed(0)
    model, dataset = MODELS.build(model_cfg()), Blobs(size)
    order = list(DefaultSampler(dataset, shuffle=shuffle, seed=4))
    assert torch.equal(first['labels'], dataset.labels[order])
    torch.testing.assert_close(first['features'], expected_features(model, dataset)[order])
    assert torch.equal(second['features'], first['features'])
    assert torch.equal(second['labels'], first['labels'])
    assert first['kept'] and second['kept']


def sampler_on_rank(rank):
    dataset = Blobs(20)
    try:
        extract_features(MODELS.build(model_cfg()), loader(dataset))
    except ValueError as error:
        return {'error': str(error)}


def test_two_processes_need_a_sampler_that_divides(tmp_path):
    for result in run_two_processes(sampler_on_rank, tmp_path):
        assert 'cannot use SequentialSampler' in result['error']
