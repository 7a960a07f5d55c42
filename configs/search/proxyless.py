# ProxylessNAS (arXiv:1812.00332): binary gates, two of them compared in an alpha step each 5 steps;
# the expected number of parameters counts. Alpha's own rate there is 1e-3.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
model = dict(relaxation=dict(type='TwoPathGates'), mixing=dict(type='SinglePath'))
default_hooks = dict(
    alpha_step=dict(
        interval=5,
        optimizer=dict(betas=(0.0, 0.999), weight_decay=0.0),
        regularizers=[dict(type='ExpectedCost', weight=0.1)],
    )
)
