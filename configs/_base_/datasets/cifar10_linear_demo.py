# The 10,000 CIFAR-10 images of the demo for linear evaluation, 2,000 others to watch it by.
cifar10 = dict(type='CIFAR10', data_root='data/cifar10')
parts = dict(train=10000, val=2000)
train_pipeline = [
    dict(type='RandomCrop', crop_size=32, padding=4),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
test_pipeline = [dict(type='PackInputs')]

train_dataloader = dict(
    batch_size=128,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='ReplaySampler'),
    dataset=dict(
        type='ReplayDataset',
        dataset=dict(
            type='SplitDataset',
            dataset=dict(**cifar10, split='train', pipeline=train_pipeline),
            parts=parts,
            part='train',
            seed=0,
        ),
    ),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='SplitDataset',
        dataset=dict(**cifar10, split='train', pipeline=test_pipeline),
        parts=parts,
        part='val',
        seed=0,
    ),
)
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**cifar10, split='test', pipeline=test_pipeline),
)
val_evaluator = test_evaluator = dict(type='Accuracy', topk=(1, 5))
val_cfg = test_cfg = dict()
data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes=10,
    mean=[125.307, 122.950, 113.865],
    std=[62.993, 62.089, 66.705],
)
