# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
# Mask R-CNN R50-C4 on COCO, 24 epochs, short side 640 to 800.
# SyncBN, nothing frozen, BN behind the fourth stage: the transfer protocol of MoCo and mmselfsup.
_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50-caffe-c4.py',
    'mmdet::_base_/datasets/coco_instance.py',
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
    roi_head=dict(shared_head=dict(type='ResLayerExtraNorm', **trained)),
)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(
        type='RandomChoiceResize',
        scales=[(1333, 640), (1333, 672), (1333, 704), (1333, 736), (1333, 768), (1333, 800)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(type='ResumableTrainLoop', _scope_='nasiam_mm', max_epochs=24, val_interval=24)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
optim_wrapper = dict(
    type='OptimWrapper', optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=24, by_epoch=True, milestones=[16, 22], gamma=0.1),
]
# 8 GPUs x 2 images; another batch size scales the learning rate.
auto_scale_lr = dict(enable=True, base_batch_size=16)
