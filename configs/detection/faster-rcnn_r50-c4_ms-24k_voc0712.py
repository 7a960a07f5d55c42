# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
# Faster R-CNN R50-C4 on VOC07+12, 24,000 iterations, short side 480 to 800.
# SyncBN, nothing frozen, BN behind the fourth stage: the transfer protocol of MoCo and mmselfsup.
_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50-caffe-c4.py',
    'mmdet::_base_/datasets/voc0712.py',
    '../_base_/detection_runtime.py',
]
custom_imports = dict(imports=['nasiam_mm.detection'], allow_failed_imports=False)

pretrained = 'work_dirs/backbone.pth'  # tools/model_converters/export_backbone.py writes it
init_cfg = dict(type='Pretrained', checkpoint=pretrained, prefix='backbone.')
norm_cfg = dict(type='SyncBN', requires_grad=True)
trained = dict(norm_cfg=norm_cfg, norm_eval=False, style='pytorch', init_cfg=init_cfg)
model = dict(
    data_preprocessor=dict(
        mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(frozen_stages=-1, **trained),
    # The fourth stage works per region, with one more BN behind it; it is pretrained too.
    roi_head=dict(
        shared_head=dict(type='ResLayerExtraNorm', **trained),
        bbox_head=dict(num_classes=20),
    ),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize', scales=[(1333, s) for s in range(480, 801, 32)], keep_ratio=True
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(1333, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs'),
]
trainval = [
    dict(
        type='VOCDataset',
        data_root='data/VOCdevkit/',
        ann_file=f'VOC{year}/ImageSets/Main/trainval.txt',
        data_prefix=dict(sub_data_root=f'VOC{year}/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    )
    for year in (2007, 2012)
]
train_dataloader = dict(
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        _delete_=True, type='ConcatDataset', ignore_keys=['dataset_type'], datasets=trainval
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
# AP50, AP75 and their mean from 0.50 to 0.95, by the 11-point rule of VOC07, as MoCo reports.
val_evaluator = dict(iou_thrs=[0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95])
test_evaluator = val_evaluator

train_cfg = dict(type='IterBasedTrainLoop', max_iters=24000, val_interval=24000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=False, end=24000, milestones=[18000, 22000], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(by_epoch=False, interval=6000))
log_processor = dict(by_epoch=False)
# 8 GPUs x 2 images; another batch size scales the learning rate.
auto_scale_lr = dict(enable=True, base_batch_size=16)
