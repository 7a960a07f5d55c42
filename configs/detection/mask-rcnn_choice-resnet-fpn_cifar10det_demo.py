# Mask R-CNN on the CIFAR-10 detection set with a searched ResNet, whose stages work at strides 1, 2
# and 4. nasiam detect puts what was decided of it into the backbone and its widths before FPN.
_base_ = 'mask-rcnn_r18-fpn_cifar10det_demo.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='ChoiceResNet',
        out_indices=(1, 2),
        init_cfg=dict(type='Pretrained', checkpoint='work_dirs/backbone.pth', prefix='backbone.'),
    ),
    neck=dict(in_channels=[32, 64]),
    rpn_head=dict(anchor_generator=dict(scales=[10], strides=[2, 4, 8])),
    roi_head=dict(
        bbox_roi_extractor=dict(featmap_strides=[2, 4], finest_scale=28),
        mask_roi_extractor=dict(featmap_strides=[2, 4], finest_scale=28),
    ),
)
