# SSWP-NAS: gates, then pruning block by block with the weights kept: 0.2 of the search warms up,
# 0.4 searches, 0.4 prunes. nasiam export WORK_DIR weights.pth writes what is left, trained.
_base_ = [
    '../_base_/data/cifar10_search_demo.py',
    '../_base_/spaces/mobilenet.py',
    '../_base_/runtime.py',
]

model = dict(
    type='SimCLR',
    data_preprocessor=_base_._data_preprocessor,
    backbone=dict(type='ChoiceMobileNet', space=_base_._mobilenet),
    neck=dict(
        type='NonLinearNeck',
        in_channels=64,
        hid_channels=256,
        out_channels=128,
        num_layers=2,
        norm_cfg=dict(type='BN1d'),
    ),
    head=dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.2),
    relaxation=dict(type='TwoPathGates'),
    mixing=dict(type='SinglePath'),
)

optim_wrapper = dict(
    type='AutocastOptimWrapper',
    constructor='WeightOptimWrapperConstructor',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True),
)
param_scheduler = [dict(type='CosineAnnealingLR', by_epoch=True, convert_to_iter_based=True)]
train_cfg = dict(type='ResumableTrainLoop', max_epochs=10)
default_hooks = dict(
    alpha_step=dict(
        type='AlphaStepHook',
        dataloader=_base_._alpha_dataloader,
        optimizer=dict(type='Adam', lr=1e-2, betas=(0.0, 0.999)),
        schedules=[
            dict(type='AlphaWarmup', share=0.2),
            dict(type='IdentityDropout', rates=[0.2], warmup=0.2, decay=0.0),
            dict(type='PruneInOrder', start=0.6, max_identity=2),
        ],
    ),
    genotype=dict(type='GenotypeHook', selection=dict(type='TopK', max_identity=2)),
    health=dict(type='SearchHealthHook'),
    collapse=dict(type='CollapseHook', interval=10),
    checkpoint=dict(interval=1, max_keep_ckpts=1),
)
probe = dict(interval=10)
env_cfg = dict(cudnn_benchmark=False)
auto_scale_lr = dict(base_batch_size=128)
# What was found is compared on these: nasiam search ... --study NAME --trials 0 --candidate FILE.
study = dict(
    recipe='backbones/simclr_mobilenet_pretrain_cifar10_demo.py',
    baseline='nasiam/simclr_r18_baseline_cifar10_demo.py',
)
