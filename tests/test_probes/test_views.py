# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about the views that measures are taken by.

1. They are the model's own views of fixed images by fixed seeds, as an independent computation.
2. Each is made once; what was asked for before changes no bit; fewer are a part of more.
3. They depend on no head, no seed and no state of a run, and leave none changed.
4. Two processes make what one makes. What no views can be made of is refused.
"""

import copy
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import DataLoader, Dataset

from nasiam_mm.datasets.replay import view_seeds
from nasiam_mm.probes.views import _SEED, QueryViews, check_views
from nasiam_mm.registry import MODELS
from tests.test_engine.toy_siamese import model_cfg, run_two_processes

COUNT, SIZE = 21, 12
PREPROCESSOR = dict(
    type='TwoViewPreprocessor', mean=[125.0] * 3, std=[60.0] * 3, views=dict(size=SIZE)
)


class Pixels(Dataset):
    """Images of noise, uint8."""

    def __init__(self):
        generator = torch.Generator().manual_seed(4)
        shape = COUNT, 3, SIZE, SIZE
        self.images = torch.randint(256, shape, generator=generator, dtype=torch.uint8)

    def __len__(self):
        return COUNT

    def __getitem__(self, row):
        # Draws, as a pipeline may.
        random.random(), np.random.rand(), torch.rand(1)
        return {'inputs': self.images[row], 'data_samples': DataSample().set_gt_label(row)}


def model(**changes):
    torch.manual_seed(1)
    found = MODELS.build({**model_cfg(), 'data_preprocessor': PREPROCESSOR})
    # An algorithm refuses views that its loss does not take.
    found.data_preprocessor = MODELS.build({**PREPROCESSOR, **changes})
    return found


def loader(batch_size=8, **changes):
    return DataLoader(Pixels(), batch_size, collate_fn=default_collate, **changes)


def features_by_hand(network, row, number):
    """Of one view of one image: two of a set, drawn from the seed of the set."""
    seeds = torch.from_numpy(np.atleast_1d(view_seeds(_SEED, number // 2, np.array([row]))))
    image = Pixels().images[row][None]
    pair = network.data_preprocessor(dict(inputs=image, view_seed=seeds), True)['inputs']
    with torch.no_grad():
        backbone = copy.deepcopy(network.backbone).eval()
        return backbone(pair[number % 2])[-1].mean((2, 3))[0]


def test_views_are_those_of_the_seeds():
    network = model()
    found = QueryViews(network, loader())(5, 3)
    assert found.shape == (5, 3, 8) and found.dtype == torch.float32
    rows = np.random.Generator(np.random.PCG64(_SEED)).permutation(COUNT)[:5]
    assert rows.tolist() != sorted(rows.tolist())
    for place, row in enumerate(rows):
        for number in range(3):
            expected = features_by_hand(network, int(row), number)
            torch.testing.assert_close(found[place, number], expected, rtol=1e-4, atol=1e-5)
    assert (found[:, 0] - found[:, 2]).abs().amax(1).min() > 1e-3


def test_each_view_is_made_once(monkeypatch):
    network, made = model(), []
    extract = network.extract_feat
    monkeypatch.setattr(network, 'extract_feat', lambda x: made.append(len(x)) or extract(x))
    views = QueryViews(network, loader())
    assert made == []  # nothing before it is asked for
    views(5, 2)
    assert made == [8, 8]  # a batch of the loader, two views
    views(8, 1), views(3, 2)
    assert made == [8, 8]
    views(3, 3)
    assert made == [8] * 4
    views(99, 4)
    assert sum(made) == COUNT * 4
    views(COUNT, 4)
    assert sum(made) == COUNT * 4


def test_what_was_asked_for_before_changes_no_bit():
    whole = QueryViews(model(), loader())(COUNT, 6)
    assert whole.shape == (COUNT, 6, 8)
    views = QueryViews(model(), loader())
    for images, per_image in ((3, 1), (9, 4), (COUNT, 2), (1, 6), (COUNT, 6)):
        assert torch.equal(views(images, per_image), whole[:images, :per_image])


@pytest.mark.parametrize('num_views', [2, 3])
def test_sets_of_any_number_of_views(num_views):
    found = QueryViews(model(num_views=num_views), loader())(4, 7)
    assert found.shape == (4, 7, 8)
    pairs = (found[:, :, None] - found[:, None]).abs().amax((0, 3))
    assert (pairs + torch.eye(7)).min() > 1e-3  # no view comes twice


def test_neither_head_nor_seed_counts():
    first, second = model(), model()
    second.neck, second.head = nn.Identity(), nn.Identity()
    expected = QueryViews(first, loader())(9, 4)
    torch.manual_seed(77), np.random.seed(7), random.seed(7)
    assert torch.equal(QueryViews(second, loader(shuffle=True))(9, 4), expected)
    assert torch.equal(QueryViews(second, loader(num_workers=1))(9, 4), expected)
    second.backbone.stage2[0].weight.data += 0.1
    assert not torch.equal(QueryViews(second, loader())(9, 4), expected)


def test_no_state_is_changed():
    network = model().train()
    modes = {name: module.training for name, module in network.named_modules()}
    state = copy.deepcopy(network.state_dict())
    before = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    found = QueryViews(network, loader())(9, 4)
    check_views(network.data_preprocessor, DataLoader([{'inputs': Pixels().images[0]}]), 'x')
    assert random.getstate() == before[0]
    assert (np.random.get_state()[1] == before[1]).all()
    assert torch.equal(torch.get_rng_state(), before[2])
    assert {name: module.training for name, module in network.named_modules()} == modes
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not found.requires_grad


def views_on_rank(rank):
    network = model()
    network.backbone.stage2[1].running_mean += rank  # as without SyncBN
    made = []
    extract = network.extract_feat
    network.extract_feat = lambda x: made.append(len(x)) or extract(x)
    # Of 21 images by 4, the last batch has one image, for two processes.
    return {'views': QueryViews(network, loader(4))(COUNT, 3), 'made': sum(made)}


def test_two_processes_share_the_work(tmp_path):
    first, second = run_two_processes(views_on_rank, tmp_path)
    expected = QueryViews(model(), loader(4))(COUNT, 3)
    assert torch.equal(first['views'], second['views'])
    torch.testing.assert_close(first['views'], expected)
    assert first['made'] == second['made'] == 4 * (5 * 2 + 1)


def test_what_no_views_can_be_made_of_is_refused():
    check_views(model().data_preprocessor, loader(), 'the measure LiDAR')
    stock = MODELS.build(dict(type='SelfSupDataPreprocessor', mean=[0.0] * 3, std=[1.0] * 3))
    with pytest.raises(ValueError, match='LiDAR needs views, which SelfSupDataPreprocessor does'):
        check_views(stock, loader(), 'the measure LiDAR')
    floats = DataLoader([{'inputs': torch.randn(3, 12, 12)}] * 4, collate_fn=default_collate)
    with pytest.raises(
        ValueError, match=r"does not make .* \('inputs' must be uint8 .*; set model"
    ):
        check_views(model().data_preprocessor, floats, 'the measure LiDAR')
    with pytest.raises(ValueError, match='LiDAR needs views'):
        check_views(model(num_views=1).data_preprocessor, loader(), 'the measure LiDAR')
