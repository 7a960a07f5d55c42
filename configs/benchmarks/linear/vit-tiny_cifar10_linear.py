_base_ = ['../../_base_/data/cifar10_linear.py', '../../_base_/runtime.py']

# The pretrained weights come by tools/train.py --checkpoint FILE. All twelve layers are frozen.
model = dict(
    type='ImageClassifier',
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(type='MoCoV3ViT', arch='deit-tiny', img_size=32, patch_size=4, frozen_stages=12),
    head=dict(
        type='LinearClsHead',
        num_classes='data.num_classes',
        in_channels=192,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1, 5),
    ),
)

# Base learning rate 3 x batch 256 / 256, that of MoCo v3's code for a ViT.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=3.0, momentum=0.9, weight_decay=0.0),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100, val_interval=10)
default_hooks = dict(frozen=dict(type='FrozenHook'))
auto_scale_lr = dict(base_batch_size=256)
