# Spaces of the table: operations at up to five hidden layers (S and more), widths, output.
_ops = [
    'linear_bn_relu', 'linear_bn_silu', 'linear',
    'max_pool_3_bn', 'avg_pool_3_bn', 'identity',
]  # fmt: skip
_output_norms = ['none', 'bn', 'bn_no_affine']
# SimCLR.
_contrastive = dict(
    projector=dict(
        depth=[1, 2, 4, 6],
        width_ratio=[0.5, 1, 2, 4],
        out_channels=[32, 64, 128, 256],
        output_norm=_output_norms,
        op=_ops,
    ),
    temperature=[0.05, 0.1, 0.2, 0.5],
)
# SimSiam and BYOL.
_predictive = dict(
    projector=dict(
        depth=[1, 2, 4, 6],
        width_ratio=[1, 2, 4, 8],
        out_channels=[64, 128, 256, 512],
        output_norm=_output_norms,
        op=_ops,
    ),
    predictor=dict(form=['linear', 'mlp'], width_ratio=[0.25, 1, 4]),
    predictor_lr=[1, 10],
)
