# A MobileNet and its projector that a search has found together, or drawn.
_base_ = 'simclr_mobilenet_pretrain_cifar10_demo.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='HeadMLP',
        name='projector',
        in_channels=64,
        hidden_channels=256,
        cell_channels=128,
        depth=3,
    ),
    space=dict(op=['linear_bn_relu', 'identity']),
)
