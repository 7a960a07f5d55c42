# Heads of SimCLR for the table.
_base_ = ['../../../configs/nasiam/simclr_r18_pretrain_cifar10_demo.py', '_spaces.py']

model = dict(space=_base_._contrastive)
