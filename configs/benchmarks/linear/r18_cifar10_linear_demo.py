_base_ = ['../../_base_/data/cifar10_linear_demo.py', '../../_base_/runtime.py']

# The pretrained weights come by tools/train.py --checkpoint FILE.
model = dict(
    type='ImageClassifier',
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        out_indices=(3,),
        norm_cfg=dict(type='BN'),
        stem_channels=16,
        base_channels=16,
        frozen_stages=4,
        norm_eval=True,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes='data.num_classes',
        in_channels=128,
        loss=dict(type='CrossEntropyLoss'),
        topk=(1, 5),
    ),
)

# Base learning rate 1 x batch 128 / 256: after a short pretraining with little decay of the
# weights features are much larger than those that the customary 30 is for.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.5, momentum=0.9, weight_decay=0.0),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=30, val_interval=10)
default_hooks = dict(
    frozen=dict(type='FrozenHook'),
    checkpoint=dict(interval=5, max_keep_ckpts=1),
)
env_cfg = dict(cudnn_benchmark=False)
