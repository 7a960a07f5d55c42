# The budget of every backbone at demo scale: SimCLR on 5,000 images of 16 x 16 pixels, 3 epochs.
_base_ = ['../../../configs/nasiam/simclr_r18_baseline_cifar10_demo.py']

_side = 16
_parts = dict(parts=dict(train=5000, val=2000))
model = dict(data_preprocessor=dict(views=dict(size=_side), eval_size=_side))
train_dataloader = dict(dataset=dict(dataset=_parts))
train_cfg = dict(max_epochs=3)
probe = dict(interval=3, bank=dict(dataset=_parts), query=dict(dataset=_parts))
