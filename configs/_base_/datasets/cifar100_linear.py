# CIFAR-100 for linear evaluation: 45,000 training images, 5,000 others to watch it by. The
# test images are read by tools/test.py alone (contract C10).
cifar100 = dict(type='CIFAR100', data_root='data/cifar100')
parts = dict(train=45000, val=5000)
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=256,
    num_workers=4,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='ReplaySampler'),
    dataset=dict(
        type='ReplayDataset',
        dataset=dict(
            type='SplitDataset',
            dataset=dict(**cifar100, split='train', pipeline=train_pipeline),
            parts=parts,
            part='train',
            seed=0,
        ),
    ),
)
val_dataloader = dict(
    batch_size=512,
    num_workers=2,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='SplitDataset',
        dataset=dict(**cifar100, split='train', pipeline=test_pipeline),
        parts=parts,
        part='val',
        seed=0,
    ),
)
test_dataloader = dict(
    batch_size=512,
    num_workers=2,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**cifar100, split='test', pipeline=test_pipeline),
)
val_evaluator = test_evaluator = dict(type='Accuracy', topk=(1, 5))
val_cfg = test_cfg = dict()
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=100,
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
)
