_base_ = './r18_cifar10_linear.py'
data = dict(root='data/cifar100')
