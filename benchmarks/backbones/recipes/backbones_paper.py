# The budget of every backbone in the paper's form: SimCLR on all of CIFAR-10, 100 epochs.
_base_ = ['../../../configs/nasiam/simclr_r18_baseline_cifar10.py']

train_cfg = dict(max_epochs=100)
