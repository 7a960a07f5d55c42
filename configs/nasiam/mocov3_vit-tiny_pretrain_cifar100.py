_base_ = './mocov3_vit-tiny_pretrain_cifar10.py'
data = dict(root='data/cifar100')
