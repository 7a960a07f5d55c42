_base_ = ['../_base_/data/cifar10_search.py', '../_base_/runtime.py']

data = dict(root='data/cifar100')
# Each image has its row of the bank, by its number.
train_dataloader = dict(dataset=dict(with_index=True))
model = dict(
    type='PIRL',
    space=['linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity'],
    bank_len=25000,
    feat_dim=256,
    negatives=4096,
    momentum=0.5,
    data_preprocessor=dict(_base_._data_preprocessor, with_index=True),
    backbone=dict(type='ResNet_CIFAR', depth=50, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(
        type='HeadMLP',
        name='projector',
        in_channels=2048,
        hidden_channels=2048,
        depth=4,
        out_channels=256,
    ),
    head=dict(type='PIRLHead', temperature=0.07),
)

# Base learning rate 0.03 x batch 512 / 256.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.06, momentum=0.9, weight_decay=5e-4, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
default_hooks = dict(
    alpha_step=dict(
        type='AlphaStepHook',
        dataloader=_base_._alpha_dataloader,
        optimizer=dict(type='Adam', lr=3e-4, weight_decay=1e-3),
    ),
    genotype=dict(type='GenotypeHook'),
    health=dict(type='SearchHealthHook'),
    collapse=dict(type='CollapseHook', interval=50),
)
probe = dict(interval=5, at_start=False)
auto_scale_lr = dict(base_batch_size=512)
