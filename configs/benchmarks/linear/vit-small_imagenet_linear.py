_base_ = ['../../_base_/data/imagenet_linear.py', '../../_base_/runtime.py']

# 128 images on each of 8 GPUs.
train_dataloader = dict(batch_size=128)
# The pretrained weights come by tools/train.py --checkpoint FILE. All twelve layers are frozen.
model = dict(
    type='ImageClassifier',
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(
        type='MoCoV3ViT', arch='mocov3-small', img_size=224, patch_size=16, frozen_stages=12
    ),
    head=dict(
        type='LinearClsHead',
        num_classes='data.num_classes',
        in_channels=384,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1, 5),
    ),
)

# Base learning rate 3 x batch 1024 / 256; on another number of processes --auto-scale-lr.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=12.0, momentum=0.9, weight_decay=0.0),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=90, val_interval=10)
default_hooks = dict(frozen=dict(type='FrozenHook'))
auto_scale_lr = dict(base_batch_size=1024)
