# Search under another relaxation: python tools/train.py examples/gumbel_softmax_search.py
_base_ = '../configs/nasiam/simclr_r18_search_cifar10_demo.py'
custom_imports = dict(imports=['examples.gumbel_softmax'])
model = dict(relaxation=dict(type='GumbelSoftmax', temperature=0.5))
