# S-head: what of a head moves accuracy, by name -> options; sources: docs/extend/choice.md.
# Widths are ratios of the recipe's hidden_channels; the standard head of each framework is within.
_projector = dict(
    depth=[1, 2, 3, 4],
    width_ratio=[0.5, 1, 2, 4],
    out_channels=[64, 128, 256, 512, 2048],
    hidden_norm=['none', 'bn', 'ln'],
    activation=['relu', 'gelu', 'silu', 'tanh'],
    output_norm=['none', 'bn', 'bn_no_affine'],
)
# SimCLR, MoCo v2 and SwAV.
_s_head_contrastive = dict(projector=_projector, temperature=[0.05, 0.1, 0.2, 0.5])
# PIRL.
_s_head_pirl = dict(projector=_projector, temperature=[0.05, 0.07, 0.1, 0.2, 0.5])
# Barlow Twins and VICReg, whose z is wide.
_s_head_decorrelating = dict(projector=dict(_projector, out_channels=[128, 512, 2048, 8192]))
# SimSiam, BYOL and MoCo v3, whose temperature is left to the recipe.
_s_head_predictive = dict(
    projector=_projector,
    predictor=dict(form=['none', 'linear', 'mlp'], width_ratio=[0.25, 1, 4]),
    predictor_lr=[1, 10],
)
