# ImageNet for pretraining: all training images, without labels. The kNN probe votes with
# 100,000 of them and asks 10,000 others; the validation images stay unseen. The views are
# mmpretrain's, made image by image with Pillow; imagenet_pretrain.py makes them on the device.
data = dict(root='data/imagenet')
# 'data.root', 'data.mean' and the like are what is known of that folder; another folder comes
# by --data FOLDER, or by such a line in a config built on this one.
_view = [
    dict(type='RandomResizedCrop', scale=224, crop_ratio_range=(0.2, 1.0), backend='pillow'),
    dict(
        type='RandomApply',
        transforms=dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1),
        prob=0.8,
    ),
    dict(
        type='RandomGrayscale',
        prob=0.2,
        keep_channels=True,
        channel_weights=(0.114, 0.587, 0.2989),
    ),
    dict(type='GaussianBlur', magnitude_range=(0.1, 2.0), magnitude_std='inf', prob=0.5),
    dict(type='RandomFlip', prob=0.5),
]
_two_views = [
    dict(type='LoadImage'),
    dict(type='MultiView', num_views=2, transforms=[_view]),
    dict(type='PackInputs'),
]
_centre = [
    dict(type='LoadImage'),
    dict(type='ResizeEdge', scale=256, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=224),
    dict(type='PackInputs'),
]
_images = dict(type='Images', data_root='data.root', split='train', pipeline=_two_views)
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
    dataset=dict(type='ReplayDataset', dataset=_images),
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
    type='SelfSupDataPreprocessor',
    mean='data.mean',
    std='data.std',
    to_rgb=True,
)
