# ImageNet for pretraining: all training images, without labels. The kNN probe votes with
# 100,000 of them and asks 10,000 others; the validation images stay unseen.
# The crops are cut where a file is decoded; flip, colour and blur follow on the device.
data = dict(root='data/imagenet')
# 'data.root', 'data.mean' and the like are what is known of that folder; another folder comes
# by --data FOLDER, or by such a line in a config built on this one.
# SimSiam's and MoCo v2's; the recipes of SimCLR and BYOL write theirs, and how many images.
_views = dict(
    size=224,
    scale=(0.2, 1.0),
    flip_prob=0.5,
    jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
    gray_prob=0.2,
    blur_prob=0.5,
    blur_sigma=(0.1, 2.0),
)
_two_views = [dict(type='DecodeCrops', views=_views), dict(type='PackInputs')]
_centre = [
    dict(type='LoadImage'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    # The preprocessor takes RGB, as the crops are.
    dict(type='NumpyToPIL', to_rgb=True),
    dict(type='PackInputs'),
]
_files = dict(type='Images', data_root='data.root', split='train', pipeline=[])
_labelled = dict(type='Images', data_root='data.root', split='train', pipeline=_centre)
_parts = dict(bank=100000, val=10000)
_bank_part = dict(type='SplitDataset', dataset=_labelled, parts=_parts, part='bank', seed=0)
_val_part = dict(type='SplitDataset', dataset=_labelled, parts=_parts, part='val', seed=0)

# 32 images on each of 8 GPUs.
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    pin_memory=True,
    drop_last=True,
    collate_fn=dict(type='default_collate'),
    sampler=dict(type='ReplaySampler'),
    dataset=dict(type='ReplayDataset', dataset=_files, pipeline=_two_views, with_view_seed=True),
)
probe = dict(
    bank=dict(
        batch_size=128,
        num_workers=8,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=_bank_part,
    ),
    query=dict(
        batch_size=128,
        num_workers=8,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=_val_part,
    ),
    k=200,
    temperature=0.1,
)
_data_preprocessor = dict(
    type='TwoViewPreprocessor',
    mean='data.mean',
    std='data.std',
    channels_last=True,
    views=_views,
)
