# Heads of SimCLR: operations at up to five hidden layers (S and more), widths, temperature.
_base_ = ['../../../configs/nasiam/simclr_r18_pretrain_cifar10_demo.py']

model = dict(
    space=dict(
        projector=dict(
            depth=[1, 2, 4, 6],
            width_ratio=[0.5, 1, 2, 4],
            out_channels=[32, 64, 128, 256],
            output_norm=['none', 'bn', 'bn_no_affine'],
            op=[
                'linear_bn_relu', 'linear_bn_silu', 'linear',
                'max_pool_3_bn', 'avg_pool_3_bn', 'identity',
            ],
        ),
        temperature=[0.05, 0.1, 0.2, 0.5],
    ),
)  # fmt: skip
