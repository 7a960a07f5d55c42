_base_ = './mocov3_vit-tiny_search_cifar10.py'
data = dict(root='data/cifar100')
