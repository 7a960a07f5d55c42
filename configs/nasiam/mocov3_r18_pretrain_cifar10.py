_base_ = ['../_base_/data/cifar10_pretrain.py', '../_base_/runtime.py']

model = dict(
    type='MoCoV3',
    # Set by tools/train.py --genotype FILE.
    genotype=None,
    base_momentum=0.01,
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(type='ResNet_CIFAR', depth=18, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(
        type='HeadMLP',
        name='projector',
        in_channels=512,
        hidden_channels=1024,
        out_channels=256,
        with_last_bn=True,
        with_last_bn_affine=False,
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
            out_channels=256,
            with_last_bias=False,
            with_avg_pool=False,
        ),
    ),
)

# Base learning rate 0.03 x batch 512 / 256.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=5e-4, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=800)
default_hooks = dict(collapse=dict(type='CollapseHook', interval=50))
probe = dict(interval=10, at_start=False)
auto_scale_lr = dict(base_batch_size=512)
