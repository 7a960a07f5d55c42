_base_ = ['../_base_/data/imagenet_pretrain.py', '../_base_/runtime.py']

# The two views of BYOL, appendix B, table 6, as MoCo v3 has them.
_view = dict(
    size=224,
    scale=(0.2, 1.0),
    flip_prob=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.2, hue=0.1, prob=0.8),
    gray_prob=0.2,
    blur_sigma=(0.1, 2.0),
)
_views = [dict(_view, blur_prob=1.0), dict(_view, blur_prob=0.1, solarize_prob=0.2)]
# 256 images on each of 16 GPUs.
train_dataloader = dict(
    batch_size=256,
    dataset=dict(pipeline=[dict(type='DecodeCrops', views=_views), dict(type='PackInputs')]),
)
model = dict(
    type='MoCoV3',
    base_momentum=0.01,
    data_preprocessor=dict(_base_._data_preprocessor, views=_views),
    backbone=dict(type='ResNet', depth=50, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(
        type='NonLinearNeck',
        in_channels=2048,
        hid_channels=4096,
        out_channels=256,
        num_layers=2,
        with_last_bn_affine=False,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(
        type='MoCoV3Head',
        temperature=1.0,
        loss=dict(type='CrossEntropyLoss'),
        predictor=dict(
            type='NonLinearNeck',
            in_channels=256,
            hid_channels=4096,
            out_channels=256,
            with_avg_pool=False,
            with_last_bn=False,
            norm_cfg=dict(type='BN1d'),
        ),
    ),
)

# MoCo v3's base learning rate for 100 epochs of a ResNet, 0.6 x batch 4096 / 256.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='LARS', lr=9.6, momentum=0.9, weight_decay=1e-6),
    # Biases and BatchNorm: no decay, no layer-wise rate.
    paramwise_cfg=dict(flat_options=dict(weight_decay=0.0, lars_exclude=True)),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-4, by_epoch=True, end=10, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', by_epoch=True, begin=10),
]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
default_hooks = dict(collapse=dict(type='CollapseHook', interval=50))
probe = dict(interval=10, at_start=False)
auto_scale_lr = dict(base_batch_size=4096)
