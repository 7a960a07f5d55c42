# SSNAS: DARTS on cells with SimCLR's loss at both levels, first order. Its recipe is not in its
# text; rates are those of the head searches here. A node keeps two edges, as in DARTS.
_base_ = [
    '../_base_/data/cifar10_search_demo.py',
    '../_base_/spaces/cells.py',
    '../_base_/runtime.py',
]

model = dict(
    type='SimCLR',
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
train_cfg = dict(type='ResumableTrainLoop', max_epochs=6)
default_hooks = dict(
    alpha_step=dict(
        type='AlphaStepHook',
        dataloader=_base_._alpha_dataloader,
        optimizer=dict(type='Adam', lr=1e-2, betas=(0.5, 0.999), weight_decay=1e-3),
    ),
    genotype=dict(type='GenotypeHook', selection=dict(type='TopEdges', edges=2)),
    health=dict(type='SearchHealthHook'),
    collapse=dict(type='CollapseHook', interval=10),
    checkpoint=dict(interval=1, max_keep_ckpts=1),
)
probe = dict(interval=6)
env_cfg = dict(cudnn_benchmark=False)
auto_scale_lr = dict(base_batch_size=128)
# What was found is compared on these: nasiam search ... --study NAME --trials 0 --candidate FILE.
study = dict(
    recipe='backbones/simclr_cells_pretrain_cifar10_demo.py',
    baseline='nasiam/simclr_r18_baseline_cifar10_demo.py',
)
