# Search in another framework: python tools/train.py examples/align_uniform_search.py
_base_ = '../configs/nasiam/simclr_r18_search_cifar10_demo.py'
custom_imports = dict(imports=['examples.align_uniform'])
model = dict(type='AlignUniform', head=None)
