_base_ = ['../_base_/data/imagenet_pretrain.py', '../_base_/runtime.py']

# Two large crops and six small ones (SwAV, section 3.2 and appendix A); colours as in SimCLR.
_view = dict(
    size=224,
    scale=(0.14, 1.0),
    flip_prob=0.5,
    jitter=dict(brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, prob=0.8),
    gray_prob=0.2,
    blur_prob=0.5,
    blur_sigma=(0.1, 2.0),
)
_views = [_view] * 2 + [dict(_view, size=96, scale=(0.05, 0.14))] * 6
_crops = dict(type='DecodeCrops', views=_views, num_views=8)
train_dataloader = dict(dataset=dict(pipeline=[_crops, dict(type='PackInputs')]))
model = dict(
    type='SwAV',
    # Set by tools/train.py --genotype FILE.
    genotype=None,
    data_preprocessor=dict(_base_._data_preprocessor, views=_views, num_views=8),
    backbone=dict(type='ResNet', depth=50, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(
        type='HeadMLP',
        name='projector',
        in_channels=2048,
        hidden_channels=2048,
        out_channels=128,
    ),
    head=dict(
        type='SwAVHead',
        loss=dict(
            type='SwAVLoss',
            feat_dim=128,
            num_prototypes=3000,
            temperature=0.1,
            epsilon=0.05,
            sinkhorn_iterations=3,
            queue_len=3840,
        ),
    ),
)

# The rate of SwAV for a batch of 256.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='LARS', lr=0.6, momentum=0.9, weight_decay=1e-6),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, eta_min=6e-4)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
default_hooks = dict(
    prototypes=dict(type='PrototypesHook', frozen_epochs=1, queue_epoch=15),
    collapse=dict(type='CollapseHook', interval=50),
)
probe = dict(interval=10, at_start=False)
auto_scale_lr = dict(base_batch_size=256)
