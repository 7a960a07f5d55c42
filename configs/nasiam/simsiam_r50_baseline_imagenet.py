_base_ = ['../_base_/data/imagenet_pretrain.py', '../_base_/runtime.py']

model = dict(
    type='SimSiam',
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(type='ResNet', depth=50, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(
        type='NonLinearNeck',
        in_channels=2048,
        hid_channels=2048,
        out_channels=2048,
        num_layers=3,
        with_last_bn_affine=False,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(
        type='LatentPredictHead',
        loss=dict(type='CosineSimilarityLoss'),
        predictor=dict(
            type='NonLinearNeck',
            in_channels=2048,
            hid_channels=512,
            out_channels=2048,
            with_avg_pool=False,
            with_last_bn=False,
            with_last_bias=True,
            norm_cfg=dict(type='BN1d'),
        ),
    ),
)

# Base learning rate 0.05 x batch 256 / 256.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4, fused=True),
    paramwise_cfg=dict(custom_keys=dict(predictor=dict(fix_lr=True))),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
default_hooks = dict(
    predictor_lr=dict(type='FixedLrHook'),
    collapse=dict(type='CollapseHook', interval=50),
)
probe = dict(interval=10, at_start=False)
auto_scale_lr = dict(base_batch_size=256)
