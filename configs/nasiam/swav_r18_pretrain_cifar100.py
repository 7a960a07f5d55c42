_base_ = './swav_r18_pretrain_cifar10.py'
data = dict(root='data/cifar100')
