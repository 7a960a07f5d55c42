_base_ = ['../_base_/data/imagenet_pretrain.py', '../_base_/runtime.py']

model = dict(
    type='MoCo',
    symmetric=True,
    queue_len=65536,
    feat_dim=128,
    momentum=0.001,
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(type='ResNet', depth=50, out_indices=(3,), norm_cfg=dict(type='BN')),
    neck=dict(type='MoCoV2Neck', in_channels=2048, hid_channels=2048, out_channels=128),
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),
)

# The rate of MoCo v2 for a batch of 256.
optim_wrapper = dict(
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=1e-4, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=100)
default_hooks = dict(collapse=dict(type='CollapseHook', interval=50))
probe = dict(interval=10, at_start=False)
# Statistics per process; the key encoder sees a shuffled batch (MoCo, section 3.3).
sync_bn = None
auto_scale_lr = dict(base_batch_size=256)
