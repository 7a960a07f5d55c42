# Search in another framework: python tools/train.py examples/barlow_twins_search.py
_base_ = '../configs/nasiam/simclr_r18_search_cifar10_demo.py'
custom_imports = dict(imports=['examples.barlow_twins'])
model = dict(
    type='BarlowTwins',
    neck=dict(cell_channels=128, out_channels=512),
    head=dict(
        _delete_=True,
        type='LatentCrossCorrelationHead',
        in_channels=512,
        loss=dict(type='CrossCorrelationLoss'),
    ),
)
