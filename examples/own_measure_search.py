# A measure of one's own beside three of ours: python tools/train.py examples/own_measure_search.py
_base_ = '../configs/nasiam/simclr_r18_search_cifar10_demo.py'
custom_imports = dict(imports=['examples.own_measure'])
probe = dict(
    measures=[
        dict(type='Concentration', directions=3),
        dict(type='RankMe'),
        dict(type='Uniformity'),
        dict(type='Alignment', images=500),
    ],
)
