# beta-DARTS (arXiv:2203.01665): logsumexp of alpha, weighted from 0 to 50 over the search.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
default_hooks = dict(alpha_step=dict(regularizers=[dict(type='BetaDecay', weight=50.0)]))
