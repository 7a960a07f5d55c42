# Heads of BYOL for the table.
_base_ = ['../../../configs/nasiam/byol_r18_pretrain_cifar10_demo.py', '_spaces.py']

model = dict(space=_base_._predictive)
