# SPOS (arXiv:1904.00420), SETN: candidates drawn uniformly train the weights; then 100 heads are
# drawn and ranked by them, BatchNorm's statistics fitted anew to each.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
model = dict(relaxation=dict(type='UniformSampling'), mixing=dict(type='SinglePath'))
default_hooks = dict(
    alpha_step=dict(optimizer=None),
    genotype=dict(
        selection=dict(type='BestOfSampled', n=100, criterion=dict(type='HeldOutContrast'))
    ),
)
