# ImageNet for linear evaluation: 96 % of the training images, the others to watch it by. The
# official validation set is the test set of the papers: tools/test.py alone reads it (C10).
data = dict(root='data/imagenet')
# 'data.root', 'data.mean' and the like are what is known of that folder; another folder comes
# by --data FOLDER, or by such a line in a config built on this one.
_images = dict(type='Images', data_root='data.root')
_parts = dict(train=0.96, val=0.04)
_train_pipeline = [
    dict(type='LoadImage'),
    dict(type='RandomResizedCrop', scale=224, backend='pillow'),
    dict(type='RandomFlip', prob=0.5, direction='horizontal'),
    dict(type='PackInputs'),
]
_test_pipeline = [
    dict(type='LoadImage'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]

train_dataloader = dict(
    batch_size=512,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='ReplaySampler'),
    dataset=dict(
        type='ReplayDataset',
        dataset=dict(
            type='SplitDataset',
            dataset=dict(**_images, split='train', pipeline=_train_pipeline),
            parts=_parts,
            part='train',
            seed=0,
        ),
    ),
)
val_dataloader = dict(
    batch_size=128,
    num_workers=8,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='SplitDataset',
        dataset=dict(**_images, split='train', pipeline=_test_pipeline),
        parts=_parts,
        part='val',
        seed=0,
    ),
)
test_dataloader = dict(
    batch_size=128,
    num_workers=8,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(**_images, split='test', pipeline=_test_pipeline),
)
val_evaluator = test_evaluator = dict(type='Accuracy', topk=(1, 5))
val_cfg = test_cfg = dict()
_data_preprocessor = dict(
    type='ClsDataPreprocessor',
    num_classes='data.num_classes',
    mean='data.mean',
    std='data.std',
    to_rgb=True,
)
