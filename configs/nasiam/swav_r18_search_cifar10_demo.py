_base_ = ['../_base_/data/cifar10_search_demo.py', '../_base_/runtime.py']

# Two crops of the whole image's size and four of half, smaller parts of it.
_view = _base_._data_preprocessor['views']
_views = [dict(_view, scale=(0.2, 1.0))] * 2
_views += [dict(_view, size='data.half_size', scale=(0.08, 0.2))] * 4
model = dict(
    type='SwAV',
    space=['linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity'],
    data_preprocessor=dict(_base_._data_preprocessor, views=_views, num_views=6),
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
        hidden_channels=128,
        depth=6,
        out_channels=64,
    ),
    head=dict(
        type='SwAVHead',
        loss=dict(
            type='SwAVLoss',
            feat_dim=64,
            num_prototypes=50,
            temperature=0.1,
            epsilon=0.03,
            sinkhorn_iterations=3,
            queue_len=512,
        ),
    ),
)

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.3, momentum=0.9, weight_decay=5e-4, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=6)
default_hooks = dict(
    alpha_step=dict(
        type='AlphaStepHook',
        dataloader=_base_._alpha_dataloader,
        optimizer=dict(type='AdamW', lr=1e-2, betas=(0.9, 0.999), weight_decay=1e-3),
    ),
    genotype=dict(type='GenotypeHook'),
    health=dict(type='SearchHealthHook'),
    prototypes=dict(type='PrototypesHook', frozen_epochs=0, queue_epoch=2),
    collapse=dict(type='CollapseHook', interval=10),
    checkpoint=dict(interval=1, max_keep_ckpts=1),
)
probe = dict(interval=6)
env_cfg = dict(cudnn_benchmark=False)
auto_scale_lr = dict(base_batch_size=128)
