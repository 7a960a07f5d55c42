# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about feature extraction and the kNN hook, on stock SimSiam with a small backbone.

1. The features are those of the backbone in evaluation mode, pooled, in order, with their labels.
2. Extraction leaves modes, buffers and generators alone; a run with the hook ends bit-identical.
3. The hook evaluates at the right moments and records what an independent computation gives.
4. Two processes extract what one extracts, with the buffers of rank 0, and keep their own.
5. The test set is read only when the config says so (C10); wrong configs fail before training.
"""

import copy
import json
import multiprocessing
import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as torch_dist
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, default_collate
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from mmpretrain.structures import DataSample
from torch import nn
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler

from nasiam_mm.engine.features import extract_features
from nasiam_mm.engine.hooks.knn_hook import KNNHook
from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.registry import DATASETS, MODELS

MEAN, STD = [19.0, 20.0, 21.0], [4.0, 5.0, 6.0]


class TinyBackbone(nn.Module):
    """Two stages; the first BatchNorm stays in evaluation mode like mmpretrain's norm_eval."""

    def __init__(self, both_stages=False):
        super().__init__()
        self.both_stages = both_stages
        self.stage1 = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.stage2 = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.ReLU())

    def train(self, mode=True):
        super().train(mode)
        self.stage1[1].eval()
        return self

    def forward(self, x):
        first = self.stage1(x)
        last = self.stage2(first)
        return (first, last) if self.both_stages else (last,)


class Blobs(Dataset):
    """Images of seven classes, each with its own mean colour, and random views of them."""

    def __init__(self, size=40, views=1, split='train', seed=0, augment=False):
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(7, (size,), generator=generator)
        colours = torch.randn(7, 3, 1, 1, generator=torch.Generator().manual_seed(9))
        noise = torch.randn(size, 3, 8, 8, generator=generator)
        self.images = 20 + 5 * (colours[self.labels] + 0.2 * noise)
        self.views, self.split, self.augment = views, split, augment

    metainfo = {}

    def full_init(self):
        pass  # asked for by RepeatDataset

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        def view():
            # Draws from all three generators, as transforms do.
            jitter = random.random() + np.random.rand() + torch.rand(1).item()
            return self.images[index] + (self.augment and jitter)

        inputs = [view() for _ in range(self.views)] if self.views > 1 else view()
        sample = DataSample().set_gt_label(int(self.labels[index]))
        return {'inputs': inputs, 'data_samples': sample}


@pytest.fixture(autouse=True)
def registered():
    MODELS.register_module(module=TinyBackbone, force=True)
    DATASETS.register_module(module=Blobs, force=True)
    yield
    MODELS.module_dict.pop('TinyBackbone')
    DATASETS.module_dict.pop('Blobs')


MODEL = {
    'type': 'SimSiam',
    'data_preprocessor': {'mean': MEAN, 'std': STD},
    'backbone': {'type': 'TinyBackbone'},
    'neck': {
        'type': 'NonLinearNeck',
        'in_channels': 8,
        'hid_channels': 8,
        'out_channels': 8,
        'with_last_bn_affine': False,
    },
    'head': {
        'type': 'LatentPredictHead',
        'loss': {'type': 'CosineSimilarityLoss'},
        'predictor': {
            'type': 'NonLinearNeck',
            'in_channels': 8,
            'hid_channels': 4,
            'out_channels': 8,
            'with_avg_pool': False,
            'with_last_bn': False,
        },
    },
}


def loader_cfg(shuffle=False, batch_size=16, **dataset):
    return {
        'batch_size': batch_size,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': shuffle},
        'collate_fn': {'type': 'default_collate'},
        'dataset': {'type': 'Blobs', **dataset},
    }


def knn_cfg(**changes):
    return {
        'type': 'KNNHook',
        'bank_dataloader': loader_cfg(size=40, seed=0),
        'query_dataloader': loader_cfg(size=21, seed=1),
        'k': 3,
        **changes,
    }


def run_cfg(work_dir, hooks, max_epochs=4, **changes):
    return Config(
        {
            'default_scope': 'nasiam_mm',
            'work_dir': str(work_dir),
            'model': MODEL,
            'train_dataloader': loader_cfg(True, size=32, views=2, augment=True),
            'train_cfg': {'by_epoch': True, 'max_epochs': max_epochs},
            'optim_wrapper': {'optimizer': {'type': 'SGD', 'lr': 0.05, 'momentum': 0.9}},
            'default_hooks': {'checkpoint': {'type': 'CheckpointHook', 'interval': 1}},
            'custom_hooks': hooks,
            'randomness': {'seed': 5},
            'experiment_name': Path(work_dir).name,
            **changes,
        }
    )


def train(*args, **kwargs):
    runner = Runner.from_cfg(run_cfg(*args, **kwargs))
    runner.train()
    return runner


def knn_rows(work_dir):
    """The lines of every scalars.json that hold a kNN figure, in order."""
    files = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return [row for row in rows if any(name.startswith('knn/') for name in row)]


def loader(dataset, batch_size=16, **kwargs):
    return DataLoader(dataset, batch_size, collate_fn=default_collate, **kwargs)


def expected_features(model, dataset):
    """Normalise, run and pool by hand, whole set at once."""
    model = copy.deepcopy(model).eval()
    images = (dataset.images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.no_grad():
        return model.backbone(images)[-1].flatten(2).mean(2)


# Extraction ---------------------------------------------------------------------------------------


@pytest.mark.parametrize('both_stages', [False, True])
def test_features_are_those_of_the_backbone(both_stages):
    model, dataset = MODELS.build(MODEL), Blobs(21)
    model.backbone.both_stages = both_stages
    features, labels = extract_features(model, loader(dataset))
    assert features.dtype == torch.float32 and features.shape == (21, 8)
    assert torch.equal(labels, dataset.labels)
    torch.testing.assert_close(features, expected_features(model, dataset))


def test_extraction_leaves_no_trace():
    model = MODELS.build(MODEL).train()
    model.head.eval()
    modes = {name: module.training for name, module in model.named_modules()}
    assert not modes['backbone.stage1.1'] and modes['backbone.stage2.1'] and not modes['head']
    state = copy.deepcopy(model.state_dict())
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    expected = random.random(), np.random.rand(), torch.rand(1)
    random.seed(1), np.random.seed(2), torch.manual_seed(3)

    features, _ = extract_features(model, loader(Blobs(21), shuffle=True))

    assert (random.random(), np.random.rand(), torch.rand(1)) == expected
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert not features.requires_grad


def test_mode_and_generators_survive_an_error():
    model = MODELS.build(MODEL).train()
    state = torch.get_rng_state()
    with pytest.raises(ValueError, match=r'got a list of 2; .* without MultiView'):
        extract_features(model, loader(Blobs(21, views=2)))
    assert model.training and model.backbone.stage2[1].training
    assert torch.equal(torch.get_rng_state(), state)


def test_backbone_of_vectors():
    model, dataset = MODELS.build(MODEL), Blobs(5)
    model.backbone = nn.Flatten()
    features, _ = extract_features(model, loader(dataset))
    assert features.shape == (5, 3 * 8 * 8)
    model.backbone = nn.Flatten(2)
    with pytest.raises(ValueError, match=r'\(N, D, H, W\) or \(N, D\), got \(5, 3, 64\)'):
        extract_features(model, loader(dataset))


def test_loaders_that_do_not_visit_each_image_once():
    model, dataset = MODELS.build(MODEL), Blobs(21)
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
    model = MODELS.build(MODEL)
    batches = DataLoader(
        Blobs(2),
        2,
        collate_fn=lambda _: {'inputs': torch.randn(2, 3, 8, 8), 'data_samples': samples},
    )
    with pytest.raises(ValueError, match=message):
        extract_features(model, batches)


# Several processes --------------------------------------------------------------------------------


def extract_on_rank(rank, world_size, folder, size, round_up, shuffle):
    torch.set_num_threads(1)
    torch_dist.init_process_group(
        'gloo', init_method=f'file://{folder}/store', rank=rank, world_size=world_size
    )
    torch.manual_seed(0)
    model, dataset = MODELS.build(MODEL), Blobs(size)
    mean = model.backbone.stage2[1].running_mean
    mean += rank  # each rank its own statistics, as without SyncBN
    own = mean.clone()
    sampler = DefaultSampler(dataset, shuffle=shuffle, seed=4, round_up=round_up)
    features, labels = extract_features(model, loader(dataset, batch_size=4, sampler=sampler))
    result = {'features': features, 'labels': labels, 'kept': torch.equal(mean, own)}
    torch.save(result, f'{folder}/{rank}.pt')
    torch_dist.destroy_process_group()


@pytest.mark.parametrize(
    ('size', 'round_up', 'shuffle'), [(21, True, False), (21, False, False), (21, True, True)]
)
def test_two_processes_extract_what_one_extracts(tmp_path, size, round_up, shuffle):
    context = multiprocessing.get_context('fork')
    ranks = [
        context.Process(target=extract_on_rank, args=(r, 2, tmp_path, size, round_up, shuffle))
        for r in range(2)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    first, second = (torch.load(tmp_path / f'{rank}.pt') for rank in range(2))

    torch.manual_seed(0)
    model, dataset = MODELS.build(MODEL), Blobs(size)
    order = list(DefaultSampler(dataset, shuffle=shuffle, seed=4))
    assert torch.equal(first['labels'], dataset.labels[order])
    torch.testing.assert_close(first['features'], expected_features(model, dataset)[order])
    assert torch.equal(second['features'], first['features'])
    assert torch.equal(second['labels'], first['labels'])
    assert first['kept'] and second['kept']


# The hook -----------------------------------------------------------------------------------------


def test_evaluates_at_start_every_interval_and_last(tmp_path):
    runner = train(tmp_path, [knn_cfg(interval=3)], max_epochs=4)
    rows = knn_rows(tmp_path)
    assert [(row['epoch'], row['step']) for row in rows] == [(0, 0), (3, 6), (4, 8)]
    history, _ = MessageHub.get_current_instance().get_scalar('knn/val_top1').data
    assert history.tolist() == [row['knn/val_top1'] for row in rows]

    # The last row, recomputed from the trained backbone.
    bank, query = Blobs(40, seed=0), Blobs(21, seed=1)
    expected = knn_accuracy(
        expected_features(runner.model, query),
        query.labels,
        expected_features(runner.model, bank),
        bank.labels,
        num_classes=7,
        k=3,
    )
    assert {name: rows[-1][f'knn/val_{name}'] for name in ('top1', 'top5')} == expected
    assert expected['top1'] > 30  # colours tell the classes apart

    log = next(tmp_path.glob('*/*.log')).read_text()
    lines = [line for line in log.splitlines() if 'kNN [' in line]
    assert len(lines) == 3
    assert f'kNN [4/4]  knn/val_top1: {expected["top1"]:.2f}' in lines[-1]
    assert '(k 3, T 0.1, bank 40, query 21)' in lines[-1]


def test_can_leave_the_start_out(tmp_path):
    train(tmp_path, [knn_cfg(at_start=False)], max_epochs=2)
    assert [row['epoch'] for row in knn_rows(tmp_path)] == [1, 2]


def test_run_with_the_hook_ends_bit_identical(tmp_path):
    plain = train(tmp_path / 'plain', [], max_epochs=2)
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    loss = plain.message_hub.get_scalar('train/loss').data[0]
    measured = train(tmp_path / 'measured', [knn_cfg()], max_epochs=2)
    assert len(knn_rows(tmp_path / 'measured')) == 3

    assert np.array_equal(measured.message_hub.get_scalar('train/loss').data[0], loss)
    expected = plain.model.state_dict()
    assert all(torch.equal(v, expected[name]) for name, v in measured.model.state_dict().items())
    assert random.getstate() == states[0]
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), states[1], strict=True))
    assert torch.equal(torch.get_rng_state(), states[2])


def test_resumed_run_does_not_repeat_the_start(tmp_path):
    train(tmp_path, [knn_cfg()], max_epochs=1)
    MessageHub._instance_dict.clear()
    runner = train(tmp_path, [knn_cfg()], 2, resume=True, load_from=str(tmp_path / 'epoch_1.pth'))
    assert [row['epoch'] for row in knn_rows(tmp_path)] == [0, 1, 2]
    # The checkpoint of an epoch holds the figure of that epoch.
    assert len(runner.message_hub.get_scalar('knn/val_top1').data[0]) == 3


def test_test_set_only_when_said_so(tmp_path):
    query = loader_cfg(size=21, seed=1, split='test')
    with pytest.raises(ValueError, match="reads the test split under split_name='val'"):
        train(tmp_path / 'silent', [knn_cfg(query_dataloader=query)], max_epochs=1)
    assert not list((tmp_path / 'silent').glob('*.pth'))

    wrapped = copy.deepcopy(query)
    wrapped['dataset'] = {'type': 'RepeatDataset', 'dataset': query['dataset'], 'times': 1}
    with pytest.raises(ValueError, match="reads the test split under split_name='val'"):
        train(tmp_path / 'wrapped', [knn_cfg(query_dataloader=wrapped)], max_epochs=1)

    said = knn_cfg(query_dataloader=query, split_name='test', at_start=False)
    train(tmp_path / 'said', [said], max_epochs=1)
    (row,) = knn_rows(tmp_path / 'said')
    assert {name for name in row if 'knn' in name} == {'knn/test_top1', 'knn/test_top5'}


@pytest.mark.parametrize('at_start', [True, False])
def test_k_beyond_the_bank_fails_before_training(tmp_path, at_start):
    with pytest.raises(ValueError, match='k = 41 exceeds the 40 images of bank_dataloader'):
        train(tmp_path, [knn_cfg(k=41, at_start=at_start)])
    assert 'train/loss' not in MessageHub.get_current_instance().log_scalars


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'split_name': 'train'}, "must be 'val' or 'test', got 'train'"),
        ({'k': 0}, 'at least 1, got k=0'),
        ({'interval': 0}, 'at least 1, got k=3, interval=0'),
    ],
)
def test_impossible_arguments(change, message):
    cfg = knn_cfg(**change)
    cfg.pop('type')
    with pytest.raises(ValueError, match=message):
        KNNHook(**cfg)
