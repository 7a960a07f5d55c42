# Search with an operation of your own: python tools/train.py examples/own_operation_search.py
_base_ = '../configs/nasiam/simclr_r18_search_cifar10_demo.py'
custom_imports = dict(imports=['examples.own_operation'])
model = dict(space=['linear_bn_gelu', 'linear_bn_relu', 'identity'])
