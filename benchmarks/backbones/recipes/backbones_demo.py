# The budget of every backbone at demo scale: SimCLR on 10,000 images of 16 x 16 pixels, 5 epochs.
_base_ = ['../../../configs/nasiam/simclr_r18_baseline_cifar10_demo.py']

_side = 16
model = dict(data_preprocessor=dict(views=dict(size=_side), eval_size=_side))
train_cfg = dict(max_epochs=5)
