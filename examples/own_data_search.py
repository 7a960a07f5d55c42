# Search on a folder of your own images: python tools/train.py examples/own_data_search.py
_base_ = '../configs/nasiam/simclr_r18_search_cifar10.py'
data = dict(root='my_images')
