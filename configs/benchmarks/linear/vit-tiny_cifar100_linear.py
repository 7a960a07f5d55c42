_base_ = './vit-tiny_cifar10_linear.py'
data = dict(root='data/cifar100')
