_base_ = ['../_base_/data/cifar10_pretrain_demo.py', '../_base_/runtime.py']

# Each image has its row of the bank, by its number.
train_dataloader = dict(dataset=dict(with_index=True))
model = dict(
    type='PIRL',
    # Set by tools/train.py --genotype FILE.
    genotype=None,
    bank_len=10000,
    feat_dim=256,
    negatives=1024,
    momentum=0.5,
    data_preprocessor=dict(_base_._data_preprocessor, with_index=True),
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
        out_channels=256,
    ),
    head=dict(type='PIRLHead', temperature=0.07),
)

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.01, momentum=0.9, weight_decay=5e-4, fused=True),
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
