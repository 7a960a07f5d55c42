# Heads of SimSiam: operations of the projector, widths, output, and what the predictor is.
_base_ = ['../../../configs/nasiam/simsiam_r18_pretrain_cifar10_demo.py']

model = dict(
    space=dict(
        projector=dict(
            depth=[1, 2, 4, 6],
            width_ratio=[1, 2, 4, 8],
            out_channels=[64, 128, 256, 512],
            output_norm=['none', 'bn', 'bn_no_affine'],
            op=[
                'linear_bn_relu', 'linear_bn_silu', 'linear',
                'max_pool_3_bn', 'avg_pool_3_bn', 'identity',
            ],
        ),
        predictor=dict(form=['linear', 'mlp'], width_ratio=[0.25, 1, 4]),
        predictor_lr=[1, 10],
    ),
)  # fmt: skip
