_base_ = './swav_r18_baseline_cifar10.py'
data = dict(root='data/cifar100')
