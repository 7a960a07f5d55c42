# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Every shipped detection config: readable, built by mmdet, true to the transfer protocol."""

import ast

import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from torch.nn.modules.batchnorm import SyncBatchNorm, _BatchNorm

from tests.test_detection.toy_detection import ROOT

FOLDER = ROOT / 'configs' / 'detection'
NAMES = sorted(path.stem for path in FOLDER.glob('*.py'))
PROTOCOL = [name for name in NAMES if not name.endswith('_demo')]
VARIANTS = {
    'faster-rcnn_r50-c4_ms-9k_voc07': 'faster-rcnn_r50-c4_ms-24k_voc0712.py',
    'mask-rcnn_choice-resnet-fpn_cifar10det_demo': 'mask-rcnn_r18-fpn_cifar10det_demo.py',
}
# Entries of the pretrained backbone: backbone, or backbone and shared head of C4.
KEYS = {'r18': 120, 'r50': 318}
SCHEDULES = {'1x': (12, [8, 11]), '2x': (24, [16, 22]), '24k': (24000, [18000, 22000])}
SCHEDULES['9k'] = (9000, [6750, 8250])


def read(name: str) -> Config:
    return Config.fromfile(FOLDER / f'{name}.py')


def build(cfg: Config):
    return MODELS.build({**cfg.model, '_scope_': 'mmdet'})


def test_all_are_there():
    assert NAMES == [
        'faster-rcnn_r50-c4_ms-24k_voc0712',
        'faster-rcnn_r50-c4_ms-9k_voc07',
        'mask-rcnn_choice-resnet-fpn_cifar10det_demo',
        'mask-rcnn_r18-fpn_cifar10det_demo',
        'mask-rcnn_r18-fpn_ms-1x_coco',
        'mask-rcnn_r50-c4_ms-1x_coco',
        'mask-rcnn_r50-c4_ms-2x_coco',
        'mask-rcnn_r50-fpn_ms-1x_coco',
        'mask-rcnn_r50-fpn_ms-2x_coco',
    ]


@pytest.mark.parametrize('name', NAMES)
def test_short_and_flat(name):
    text = (FOLDER / f'{name}.py').read_text()
    assert len(text.splitlines()) < 80
    bases = next(
        ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and node.targets[0].id == '_base_'
    )
    if name in VARIANTS:  # what it differs in from another of them
        assert bases.removeprefix('./') == VARIANTS[name] and len(text.splitlines()) < 20
        return
    # Four files to read: this one, two of mmdet's and a runtime, which have no base themselves.
    assert len(bases) == 3
    assert all(base.startswith('mmdet::_base_/') for base in bases[:2])
    assert bases[2] == '../_base_/detection_runtime.py'


@pytest.mark.parametrize('name', NAMES)
def test_survives_dump(name, tmp_path):
    cfg = read(name)
    cfg.dump(tmp_path / 'dumped.py')
    assert Config.fromfile(tmp_path / 'dumped.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize('name', PROTOCOL)
def test_protocol_of_moco(name):
    """SyncBN everywhere, nothing frozen, statistics of BN move, scratch layers included."""
    cfg = read(name)
    detector = build(cfg).train()
    backbone, shared_head = detector.backbone, getattr(detector.roi_head, 'shared_head', None)
    norms = [layer for layer in detector.modules() if isinstance(layer, _BatchNorm)]
    assert all(isinstance(layer, SyncBatchNorm) and layer.training for layer in norms)
    assert all(parameter.requires_grad for parameter in detector.parameters())
    entries = [*backbone.state_dict(), *(shared_head.state_dict() if shared_head else [])]
    pretrained = [entry for entry in entries if not entry.startswith('norm.')]
    assert len(pretrained) == KEYS[name.split('_')[1].split('-')[0]]
    if shared_head is not None:
        assert 'norm.weight' in shared_head.state_dict()
        assert cfg.model.roi_head.shared_head.init_cfg == cfg.model.backbone.init_cfg
        assert cfg.model.backbone.style == cfg.model.roi_head.shared_head.style == 'pytorch'
    else:
        heads = (detector.neck, detector.roi_head.bbox_head, detector.roi_head.mask_head)
        assert all(any(isinstance(m, _BatchNorm) for m in head.modules()) for head in heads)
    assert cfg.model.backbone.init_cfg.prefix == 'backbone.'
    # ImageNet's statistics in RGB, as in pretraining; mmdet's C4 base has caffe's in BGR.
    assert cfg.model.data_preprocessor.mean == [123.675, 116.28, 103.53]
    assert cfg.model.data_preprocessor.std == [58.395, 57.12, 57.375]
    assert cfg.model.data_preprocessor.bgr_to_rgb


@pytest.mark.parametrize('name', PROTOCOL)
def test_schedule_is_what_the_name_says(name):
    cfg = read(name)
    length, milestones = SCHEDULES[name.split('ms-')[1].split('_')[0]]
    assert cfg.train_cfg.get('max_epochs', cfg.train_cfg.get('max_iters')) == length
    assert cfg.param_scheduler[-1].end == length
    assert cfg.param_scheduler[-1].milestones == milestones
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
    assert cfg.auto_scale_lr == dict(enable=True, base_batch_size=16)
    scales = [side for _, side in cfg.train_pipeline[2].scales]
    least = 480 if 'voc' in name else 640
    assert scales == list(range(least, 801, 32))


@pytest.mark.parametrize('model', ['mask-rcnn_r50-fpn', 'mask-rcnn_r50-c4'])
def test_2x_differs_from_1x_by_its_schedule_alone(model):
    once, twice = (read(f'{model}_ms-{schedule}_coco').to_dict() for schedule in ('1x', '2x'))
    different = {key for key in once if once[key] != twice[key]}
    assert different == {'train_cfg', 'param_scheduler'}


def test_voc_trains_on_both_years_and_is_evaluated_on_2007():
    cfg = read('faster-rcnn_r50-c4_ms-24k_voc0712')
    lists = [part.ann_file for part in cfg.train_dataloader.dataset.datasets]
    assert lists == [f'VOC{year}/ImageSets/Main/trainval.txt' for year in (2007, 2012)]
    assert cfg.val_dataloader.dataset.ann_file == 'VOC2007/ImageSets/Main/test.txt'
    assert [int(iou * 100) for iou in cfg.val_evaluator.iou_thrs] == list(range(50, 100, 5))
    assert cfg.model.roi_head.bbox_head.num_classes == 20


def test_voc07_differs_by_its_images_and_its_schedule_alone():
    long, short = (read(f'faster-rcnn_r50-c4_ms-{rest}') for rest in ('24k_voc0712', '9k_voc07'))
    (only,) = short.train_dataloader.dataset.datasets
    assert only == long.train_dataloader.dataset.datasets[0] and 'VOC2007' in only.ann_file
    different = {key for key in long if long[key] != short[key]}
    assert different == {'train_dataloader', 'train_cfg', 'param_scheduler', 'default_hooks'}
    short.train_dataloader.dataset.datasets = long.train_dataloader.dataset.datasets
    assert short.train_dataloader == long.train_dataloader


def test_demo_strides_follow_the_cifar_stem():
    cfg = read('mask-rcnn_r18-fpn_cifar10det_demo')
    strides = [2**stage for stage in cfg.model.backbone.out_indices]
    assert strides == cfg.model.roi_head.bbox_roi_extractor.featmap_strides
    assert strides == cfg.model.roi_head.mask_roi_extractor.featmap_strides
    assert strides == cfg.model.rpn_head.anchor_generator.strides[: len(strides)]
    assert len(cfg.model.rpn_head.anchor_generator.strides) == cfg.model.neck.num_outs
    assert len(build(cfg).backbone.state_dict()) == KEYS['r18']
