# SSNAS' search with DARTS' second order, differentiated exactly: about three times the cost.
_base_ = 'simclr_cells_darts_cifar10_demo.py'
default_hooks = dict(alpha_step=dict(second_order='sgd'))
