"""An operation of your own: a builder under a name, and no more."""

from torch import nn

from nasiam_mm.ops.head import linear_block
from nasiam_mm.registry import CANDIDATE_OPS


@CANDIDATE_OPS.register_module()
def linear_bn_gelu(in_channels: int, out_channels: int, is_output: bool = False) -> nn.Module:
    """Linear, BatchNorm, GELU."""
    return linear_block(nn.GELU, in_channels, out_channels, is_output)
