_base_ = ['../_base_/data/cifar10_search_demo.py', '../_base_/runtime.py']

model = dict(
    type='BarlowTwins',
    space=['linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity'],
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(
        type='ResNet_CIFAR',
        depth=18,
        out_indices=(3,),
        norm_cfg=dict(type='BN'),
        stem_channels=16,
        base_channels=16,
    ),
    neck=dict(
        type='HeadMLP',
        name='projector',
        in_channels=128,
        hidden_channels=512,
        depth=4,
        out_channels=512,
        with_last_bias=False,
    ),
    head=dict(
        type='LatentCrossCorrelationHead', loss=dict(type='CrossCorrelationLoss', lambd=0.005)
    ),
)

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='Adam', lr=3e-3, weight_decay=1e-6, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=6)
default_hooks = dict(
    alpha_step=dict(
        type='AlphaStepHook',
        dataloader=_base_._alpha_dataloader,
        optimizer=dict(type='Adam', lr=1e-2, weight_decay=1e-3),
    ),
    genotype=dict(type='GenotypeHook'),
    health=dict(type='SearchHealthHook'),
    collapse=dict(type='CollapseHook', interval=10, rank_threshold=2),
    checkpoint=dict(interval=1, max_keep_ckpts=1),
)
probe = dict(interval=6)
env_cfg = dict(cudnn_benchmark=False)
auto_scale_lr = dict(base_batch_size=128)
