# DARTS, second order (arXiv:1806.09055, eq. 7), differentiated exactly; the virtual step of the
# weights has their momentum and weight decay, as in its authors' code. True leaves both out.
_base_ = '../nasiam/simsiam_r18_search_cifar10.py'
default_hooks = dict(alpha_step=dict(second_order='sgd'))
