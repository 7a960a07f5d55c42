# DARTS, first order (arXiv:1806.09055, eq. 6 with xi = 0): the search of every recipe, written out.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
model = dict(relaxation=dict(type='Softmax'), mixing=dict(type='FullMixing'))
default_hooks = dict(
    alpha_step=dict(second_order=False),
    genotype=dict(selection=dict(type='TopK', k=1)),
)
