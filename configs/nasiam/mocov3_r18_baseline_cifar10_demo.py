_base_ = ['../_base_/data/cifar10_pretrain_demo.py', '../_base_/runtime.py']

model = dict(
    type='MoCoV3',
    base_momentum=0.01,
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
        type='NonLinearNeck',
        in_channels=128,
        hid_channels=256,
        out_channels=64,
        num_layers=2,
        with_last_bn_affine=False,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(
        type='MoCoV3Head',
        temperature=0.2,
        loss=dict(type='CrossEntropyLoss'),
        predictor=dict(
            type='NonLinearNeck',
            in_channels=64,
            hid_channels=256,
            out_channels=64,
            with_avg_pool=False,
            with_last_bn=False,
            norm_cfg=dict(type='BN1d'),
        ),
    ),
)

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=5)
default_hooks = dict(
    collapse=dict(type='CollapseHook', interval=10),
    checkpoint=dict(interval=1, max_keep_ckpts=1),
)
probe = dict(interval=5)
env_cfg = dict(cudnn_benchmark=False)
auto_scale_lr = dict(base_batch_size=128)
