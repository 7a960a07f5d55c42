_base_ = './mocov3_vit-tiny_baseline_cifar10.py'
data = dict(root='data/cifar100')
