_base_ = ['../_base_/data/cifar10_pretrain.py', '../_base_/runtime.py']

model = dict(
    type='MoCoV3',
    base_momentum=0.01,
    data_preprocessor=dict(_base_._data_preprocessor, channels_last=False),
    backbone=dict(type='MoCoV3ViT', arch='deit-tiny', img_size=32, patch_size=4),
    neck=dict(
        type='NonLinearNeck',
        in_channels=192,
        hid_channels=1024,
        out_channels=256,
        num_layers=3,
        with_last_bn_affine=False,
        with_avg_pool=False,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(
        type='MoCoV3Head',
        temperature=0.2,
        loss=dict(type='CrossEntropyLoss'),
        predictor=dict(
            type='NonLinearNeck',
            in_channels=256,
            hid_channels=1024,
            out_channels=256,
            with_avg_pool=False,
            with_last_bn_affine=False,
            norm_cfg=dict(type='BN1d'),
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
train_cfg = dict(type='ResumableTrainLoop', max_epochs=800)
default_hooks = dict(collapse=dict(type='CollapseHook', interval=50))
probe = dict(interval=10, at_start=False)
auto_scale_lr = dict(base_batch_size=512)
