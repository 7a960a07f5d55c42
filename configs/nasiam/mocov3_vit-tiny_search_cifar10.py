_base_ = ['../_base_/data/cifar10_search.py', '../_base_/runtime.py']

model = dict(
    type='MoCoV3',
    space=['linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity'],
    base_momentum=0.01,
    data_preprocessor=dict(_base_._data_preprocessor, channels_last=False),
    backbone=dict(type='MoCoV3ViT', arch='deit-tiny', img_size=32, patch_size=4),
    neck=dict(
        type='HeadMLP',
        name='projector',
        in_channels=192,
        hidden_channels=1024,
        depth=4,
        out_channels=256,
        with_last_bn=True,
        with_last_bn_affine=False,
        with_avg_pool=False,
    ),
    head=dict(
        type='MoCoV3Head',
        temperature=0.2,
        loss=dict(type='CrossEntropyLoss'),
        predictor=dict(
            type='HeadMLP',
            name='predictor',
            in_channels=256,
            hidden_channels=1024,
            depth=3,
            out_channels=256,
            with_last_bn=True,
            with_last_bn_affine=False,
            with_avg_pool=False,
        ),
    ),
)

# Base learning rate 1.5e-4 x batch 512 / 256.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=3e-4, weight_decay=0.1, fused=True),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, end=40, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=40),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
default_hooks = dict(
    alpha_step=dict(
        type='AlphaStepHook',
        dataloader=_base_._alpha_dataloader,
        optimizer=dict(type='AdamW', lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-3),
    ),
    genotype=dict(type='GenotypeHook'),
    health=dict(type='SearchHealthHook'),
    collapse=dict(type='CollapseHook', interval=50),
)
probe = dict(interval=5, at_start=False)
auto_scale_lr = dict(base_batch_size=512)
