# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
# Mask R-CNN on the CIFAR-10 detection set, NOT COCO: the whole transfer chain on two CPU cores.
# The backbone is a CIFAR ResNet-18 (3x3 stem, no max-pool), so stage i works at stride 2^(i-1).
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/detection_runtime.py',
]
custom_imports = dict(imports=['nasiam_mm.detection'], allow_failed_imports=False)

pretrained = 'work_dirs/backbone.pth'  # tools/model_converters/export_backbone.py writes it
width = 16  # base_channels of the pretrained backbone; the transfer tool sets it
model = dict(
    data_preprocessor=dict(  # CIFAR-10's statistics, as in pretraining
        mean=[125.307, 122.950, 113.865], std=[62.993, 62.089, 66.705], pad_size_divisor=16
    ),
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet_CIFAR',
        depth=18,
        stem_channels=width,
        base_channels=width,
        out_indices=(2, 3),  # strides 4 and 8: no object is small enough for 1 and 2
        init_cfg=dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.'),
    ),
    neck=dict(in_channels=[4 * width, 8 * width], out_channels=64, num_outs=3),
    rpn_head=dict(
        in_channels=64, feat_channels=64, anchor_generator=dict(scales=[5], strides=[4, 8, 16])
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, featmap_strides=[4, 8], finest_scale=28),
        bbox_head=dict(in_channels=64, fc_out_channels=256, num_classes=10),
        mask_roi_extractor=dict(out_channels=64, featmap_strides=[4, 8], finest_scale=28),
        mask_head=dict(num_convs=2, in_channels=64, conv_out_channels=64, num_classes=10),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=500, max_per_img=200), rcnn=dict(sampler=dict(num=64))
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=100), rcnn=dict(max_per_img=20)),
)

data_root = 'data/cifar10_detection/'  # tools/dataset_converters/make_cifar10_detection.py
classes = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
split = dict(data_root=data_root, metainfo=dict(classes=classes))
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(128, 128), keep_ratio=True),
    dict(type='PackDetInputs'),
]
one_process = dict(num_workers=0, persistent_workers=False)
train_set = dict(ann_file='annotations/train.json', data_prefix=dict(img='train/'), **split)
val_set = dict(ann_file='annotations/val.json', data_prefix=dict(img='val/'), **split)
train_dataloader = dict(
    batch_size=4, dataset=dict(pipeline=train_pipeline, **train_set), **one_process
)
val_dataloader = dict(batch_size=4, dataset=dict(pipeline=test_pipeline, **val_set), **one_process)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/val.json')
test_evaluator = val_evaluator

train_cfg = dict(type='ResumableTrainLoop', _scope_='nasiam_mm', max_epochs=6, val_interval=6)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4),
    clip_grad=dict(max_norm=10),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', T_max=6, by_epoch=True, convert_to_iter_based=True),
]
