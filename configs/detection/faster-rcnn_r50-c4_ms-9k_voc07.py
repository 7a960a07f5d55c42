# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
# As faster-rcnn_r50-c4_ms-24k_voc0712.py, on the trainval images of VOC07 alone, for 9,000
# iterations (MoCo, table 4); the rate falls at the same shares of the schedule.
_base_ = './faster-rcnn_r50-c4_ms-24k_voc0712.py'

train_dataloader = dict(dataset=dict(datasets=_base_.trainval[:1]))
train_cfg = dict(max_iters=9000, val_interval=9000)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=100),
    dict(type='MultiStepLR', by_epoch=False, end=9000, milestones=[6750, 8250], gamma=0.1),
]
default_hooks = dict(checkpoint=dict(interval=4500))
