# DARTS- (arXiv:2009.01027): an auxiliary skip beside the candidates, its strength from 1 to 0.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
model = dict(auxiliary=dict(type='AuxiliarySkip'))
default_hooks = dict(
    alpha_step=dict(schedules=[dict(type='AuxiliaryDecay', start=1.0, end=0.0, shape='linear')])
)
