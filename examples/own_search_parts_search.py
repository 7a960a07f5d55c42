# Parts of one's own together: python tools/train.py examples/own_search_parts_search.py
_base_ = '../configs/nasiam/simclr_r18_search_cifar10_demo.py'
custom_imports = dict(imports=['examples.own_search_parts'])
model = dict(mixing=dict(type='HalfStrength'))
default_hooks = dict(
    alpha_step=dict(
        regularizers=[dict(type='Smallness', weight=0.1)],
        schedules=[dict(type='AlternateEpochs')],
    ),
    genotype=dict(selection=dict(type='NoTwoAlike')),
)
