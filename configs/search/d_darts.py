# D-DARTS (arXiv:2108.09306): a gate a candidate in each cell, the zero-one loss; what each layer
# contributes is written at the end (contributions.json). Its optimizer for each cell is one here,
# as Adam works element by element.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
model = dict(relaxation=dict(type='Sigmoid'))
default_hooks = dict(
    alpha_step=dict(regularizers=[dict(type='ZeroOne', weight=9.0)]),
    genotype=dict(selection=dict(type='Threshold', threshold=0.85, at_most=2)),
)
