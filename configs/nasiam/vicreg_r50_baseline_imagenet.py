_base_ = ['../_base_/data/imagenet_pretrain.py', '../_base_/runtime.py']

# VICReg, appendix C: the views of BYOL, made alike.
_views = dict(
    size=224,
    scale=(0.08, 1.0),
    flip_prob=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, prob=0.8),
    gray_prob=0.2,
    blur_prob=0.5,
    blur_sigma=(0.1, 2.0),
    solarize_prob=0.1,
)
# 64 images on each of 8 GPUs.
train_dataloader = dict(
    batch_size=64,
    dataset=dict(pipeline=[dict(type='DecodeCrops', views=_views), dict(type='PackInputs')]),
)
model = dict(
    type='VICReg',
    data_preprocessor=dict(_base_._data_preprocessor, views=_views),
    backbone=dict(type='ResNet', depth=50, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(
        type='NonLinearNeck',
        in_channels=2048,
        hid_channels=8192,
        out_channels=8192,
        num_layers=3,
        with_last_bn=False,
        with_last_bias=False,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(type='VICRegHead', invariance=25.0, variance=25.0, covariance=1.0),
)

# VICReg's base learning rate for 100 epochs, 0.3 x batch 512 / 256.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='LARS', lr=0.6, momentum=0.9, weight_decay=1e-6),
    # Biases and BatchNorm: no decay, no layer-wise rate.
    paramwise_cfg=dict(flat_options=dict(weight_decay=0.0, lars_exclude=True)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=10, eta_min_ratio=1e-3),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
default_hooks = dict(collapse=dict(type='CollapseHook', interval=50, rank_threshold=2))
probe = dict(interval=10, at_start=False)
auto_scale_lr = dict(base_batch_size=512)
