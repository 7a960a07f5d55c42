_base_ = ['../_base_/data/cifar10_pretrain.py', '../_base_/runtime.py']

model = dict(
    type='VICReg',
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(type='ResNet_CIFAR', depth=18, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(
        type='NonLinearNeck',
        in_channels=512,
        hid_channels=2048,
        out_channels=2048,
        num_layers=3,
        with_last_bn=False,
        with_last_bias=False,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(type='VICRegHead', invariance=25.0, variance=25.0, covariance=1.0),
)

# As Barlow Twins.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='Adam', lr=1e-3, weight_decay=1e-6, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=800)
default_hooks = dict(collapse=dict(type='CollapseHook', interval=50, rank_threshold=2))
probe = dict(interval=10, at_start=False)
auto_scale_lr = dict(base_batch_size=512)
