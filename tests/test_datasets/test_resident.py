# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: whole batches equal those drawn image by image; what does not fit is refused."""

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from nasiam_mm.datasets import CIFAR10, ResidentDataset, SplitDataset
from nasiam_mm.datasets.replay import endless_batches
from nasiam_mm.registry import MODELS
from tests.reduced import MINI

PACK = [dict(type='PackInputs', _scope_='nasiam_mm')]
PART = dict(
    type='SplitDataset',
    dataset=dict(type='CIFAR10', data_root=MINI, split='train', pipeline=PACK),
    parts=dict(weights=0.3, alpha=0.5),
    part='alpha',
)


def loader(dataset, collate, workers=0):
    cfg = dict(
        batch_size=32,
        num_workers=workers,
        drop_last=True,
        collate_fn=dict(type=collate),
        sampler=dict(type='ReplaySampler', stream=1, _scope_='nasiam_mm'),
        dataset=dict(_scope_='nasiam_mm', **dataset),
    )
    return Runner.build_dataloader(cfg, seed=4)


def stock():
    dataset = dict(type='ReplayDataset', dataset=PART, with_view_seed=True)
    return loader(dataset, 'default_collate')


@pytest.mark.parametrize('max_gib', [1.0, 0.0])
def test_batches_and_views_are_those_of_the_stock_pipeline(max_gib):
    resident = loader(
        dict(type='ResidentDataset', dataset=PART, device='cpu', max_gib=max_gib), 'as_drawn'
    )
    assert len(resident) == len(stock()) == 500 * len(CIFAR10(MINI)) // 1000 // 32
    preprocess = MODELS.build(dict(type='TwoViewPreprocessor', mean=[120] * 3, std=[60] * 3))
    # More than a pass, begun within one.
    pairs = zip(endless_batches(resident, 2), endless_batches(stock(), 2), strict=False)
    for _ in range(len(resident) + 1):
        batch, expected = next(pairs)
        assert torch.equal(batch['inputs'], expected['inputs'])
        assert torch.equal(batch['view_seed'], expected['view_seed'])
        views, theirs = (preprocess(data, True)['inputs'] for data in (batch, expected))
        assert all(torch.equal(*pair) for pair in zip(views, theirs, strict=True))


def test_a_set_that_is_too_large_stays_on_the_host():
    dataset = ResidentDataset(SplitDataset(**{k: v for k, v in PART.items() if k != 'type'}),
                              device='meta', max_gib=0.0)  # fmt: skip
    assert dataset.images.device.type == 'cpu'
    dataset = ResidentDataset(dataset.dataset, device='meta', max_gib=1.0)
    assert dataset.images.device.type == 'meta'
    assert dataset.images.shape == (len(dataset), 3, 32, 32)


class Pictures:
    """Images of given shapes."""

    class pipeline:
        transforms = [type('PackInputs', (), {})()]

    def __init__(self, *shapes, dtype=np.uint8):
        self.shapes, self.dtype = shapes, dtype

    def __len__(self):
        return len(self.shapes)

    def get_data_info(self, row):
        return dict(img=np.zeros(self.shapes[row], self.dtype))


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r'image 1 is \(4, 5, 3\) and image 0 \(4, 4, 3\)'):
        _ = ResidentDataset(Pictures((4, 4, 3), (4, 5, 3))).images
    with pytest.raises(ValueError, match=r'uint8 images \(H, W, 3\), got float32'):
        _ = ResidentDataset(Pictures((4, 4, 3), dtype=np.float32)).images
    flip = dict(type='RandomFlip', prob=0.5, _scope_='nasiam_mm')
    with pytest.raises(ValueError, match=r"leave out the pipeline \['RandomFlip', 'PackInputs'\]"):
        ResidentDataset(CIFAR10(MINI, pipeline=[flip, *PACK]))
    with pytest.raises(TypeError, match='needs the keys of ReplaySampler'):
        ResidentDataset(Pictures((4, 4, 3)))[0]


def test_workers_are_refused():
    resident = loader(dict(type='ResidentDataset', dataset=PART, device='cpu'), 'as_drawn', 1)
    with pytest.raises(RuntimeError, match='set num_workers=0'):
        next(iter(resident))


def test_a_peek_is_the_batch_and_loads_no_other_image(monkeypatch):
    dataset = ResidentDataset(dict(PART), device='cpu')
    read = []
    honest = dataset.dataset.get_data_info
    monkeypatch.setattr(dataset.dataset, 'get_data_info', lambda n: read.append(n) or honest(n))
    keys = [(3, 11), (1, 12)]
    batch = dataset.peek(keys)
    assert set(read) == {3, 1} and 'images' not in vars(dataset)
    whole = dataset.__getitems__(keys)
    assert all(torch.equal(batch[name], whole[name]) for name in whole)
