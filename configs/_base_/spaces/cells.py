# The edges of DARTS' cells (docs/backbones.md); of the two skips each edge has the one that fits.
_cells = [
    *('sep_conv_3', 'sep_conv_5', 'dil_conv_3', 'dil_conv_5'),
    *('max_pool_3x3', 'avg_pool_3x3', 'identity', 'factorized_reduce', 'none'),
]
