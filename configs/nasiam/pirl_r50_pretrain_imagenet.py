_base_ = ['../_base_/data/imagenet_pretrain.py', '../_base_/runtime.py']

# Each image has its row of the bank, by its number.
train_dataloader = dict(dataset=dict(with_index=True))
model = dict(
    type='PIRL',
    # Set by tools/train.py --genotype FILE.
    genotype=None,
    bank_len=1281167,
    feat_dim=128,
    negatives=32000,
    momentum=0.5,
    data_preprocessor=dict(_base_._data_preprocessor, with_index=True),
    backbone=dict(type='ResNet', depth=50, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(
        type='HeadMLP',
        name='projector',
        in_channels=2048,
        hidden_channels=2048,
        out_channels=128,
    ),
    head=dict(type='PIRLHead', temperature=0.07),
)

# PIRL's rate, 0.12 for a batch of 1024, for one of 256; the last is a thousandth of it.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, eta_min_ratio=1e-3)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
default_hooks = dict(collapse=dict(type='CollapseHook', interval=50))
probe = dict(interval=10, at_start=False)
auto_scale_lr = dict(base_batch_size=256)
