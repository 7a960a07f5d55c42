# Cells that a search has found, or drawn as in simclr_resnet_pretrain_cifar10_demo.py.
_base_ = [
    '../_base_/data/cifar10_pretrain_demo.py',
    '../_base_/spaces/cells.py',
    '../_base_/runtime.py',
]

model = dict(
    type='SimCLR',
    # Set by tools/train.py --genotype FILE.
    genotype=None,
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(
        type='ChoiceCells', space=_base_._cells, blocks=(1, 1, 1), base_channels=8, nodes=2
    ),
    neck=dict(
        type='NonLinearNeck',
        in_channels=64,
        hid_channels=256,
        out_channels=128,
        num_layers=2,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),
)

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True),
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
