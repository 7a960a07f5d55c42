# FairDARTS (arXiv:1911.12126): a gate a candidate, the zero-one loss, a threshold. Alpha's own
# rate there is 3e-3, ten times that of DARTS.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
model = dict(relaxation=dict(type='Sigmoid'))
default_hooks = dict(
    alpha_step=dict(regularizers=[dict(type='ZeroOne', weight=10.0)]),
    genotype=dict(selection=dict(type='Threshold', threshold=0.85, at_most=2)),
)
