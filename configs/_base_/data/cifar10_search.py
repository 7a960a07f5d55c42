# CIFAR-10 for a search: half the training images for the weights, half for alpha.
data = dict(root='data/cifar10')
# 'data.root', 'data.mean' and the like are what source.json of that folder says; another folder
# comes by --data FOLDER, or by such a line in a config built on this one.
# Pairs, as a saved config forgets the order of a dict, by which parts are cut.
_parts = [('weights', 0.5), ('alpha', 0.5)]
_images = dict(
    type='Images',
    data_root='data.root',
    split='train',
    size='data.size',
    pipeline=[dict(type='PackInputs')],
)
_weights_part = dict(type='SplitDataset', dataset=_images, parts=_parts, part='weights', seed=0)
_alpha_part = dict(type='SplitDataset', dataset=_images, parts=_parts, part='alpha', seed=0)

# The images stay on the device; ReplayDataset(with_view_seed=True) with default_collate and
# workers draws the same batches one image at a time.
train_dataloader = dict(
    batch_size=512,
    num_workers=0,
    pin_memory=False,
    drop_last=True,
    collate_fn=dict(type='as_drawn'),
    sampler=dict(type='ReplaySampler'),
    dataset=dict(type='ResidentDataset', dataset=_weights_part),
)
_alpha_dataloader = dict(
    batch_size=512,
    num_workers=0,
    pin_memory=False,
    drop_last=True,
    collate_fn=dict(type='as_drawn'),
    sampler=dict(type='ReplaySampler', stream=1),
    dataset=dict(type='ResidentDataset', dataset=_alpha_part),
)
# Neighbours come from one half, queries from the other; the test images stay unseen.
probe = dict(
    bank=dict(
        batch_size=512,
        num_workers=2,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=_weights_part,
    ),
    query=dict(
        batch_size=512,
        num_workers=2,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=_alpha_part,
    ),
    k=200,
    temperature=0.1,
)
_data_preprocessor = dict(
    type='TwoViewPreprocessor',
    mean='data.mean',
    std='data.std',
    channels_last=True,
    views=dict(
        size='data.size',
        scale=(0.2, 1.0),
        flip_prob=0.5,
        jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
        gray_prob=0.2,
    ),
)
