_base_ = ['../_base_/data/cifar10_search.py', '../_base_/runtime.py']

model = dict(
    type='VICReg',
    space=['linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity'],
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(type='ResNet_CIFAR', depth=18, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(
        type='HeadMLP',
        name='projector',
        in_channels=512,
        hidden_channels=2048,
        depth=4,
        out_channels=2048,
        with_last_bias=False,
    ),
    head=dict(type='VICRegHead', invariance=25.0, variance=25.0, covariance=1.0),
)

# As Barlow Twins.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='Adam', lr=1e-3, weight_decay=1e-6, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
default_hooks = dict(
    alpha_step=dict(
        type='AlphaStepHook',
        dataloader=_base_._alpha_dataloader,
        optimizer=dict(type='Adam', lr=1e-3),
    ),
    genotype=dict(type='GenotypeHook'),
    health=dict(type='SearchHealthHook'),
    collapse=dict(type='CollapseHook', interval=50, rank_threshold=2),
)
probe = dict(interval=5, at_start=False)
auto_scale_lr = dict(base_batch_size=512)
