"""Heads of a choice of your own, to be drawn by ``nasiam genotype random``."""

_base_ = '../configs/nasiam/simclr_r18_pretrain_cifar10_demo.py'
custom_imports = dict(imports=['examples.own_choice'])
model = dict(space=dict(depth=[2, 3], dropout=[0.1, 0.3]))
