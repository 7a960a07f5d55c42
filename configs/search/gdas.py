# GDAS (arXiv:1910.04465): one candidate forward, by Gumbel noise; temperature from 10 to 0.1. An
# alpha step runs the others too: behind one path alone BatchNorm and cosine leave it no gradient.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
model = dict(
    relaxation=dict(type='GumbelStraightThrough', temperature=10.0),
    mixing=dict(type='SinglePath', sampled_in=['weights']),
)
default_hooks = dict(
    alpha_step=dict(schedules=[dict(type='Temperature', start=10.0, end=0.1, shape='linear')])
)
