# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""MoCo v3's Vision Transformer, of which what is fixed is fixed from the start."""

from typing import Any

from mmpretrain.models import MoCoV3ViT as _MoCoV3ViT

from nasiam_mm.registry import MODELS


@MODELS.register_module()
class MoCoV3ViT(_MoCoV3ViT):
    """mmpretrain's ViT of MoCo v3: fixed sine-cosine positions, a patch projection not trained.

    `An Empirical Study of Training Self-Supervised Vision Transformers
    <https://arxiv.org/abs/2104.02057>`_, sections 4.2 and 5. mmpretrain's marks its positions
    as fixed where it draws the weights, which is after several processes have agreed whose
    gradients they wait for; here they are from the start, so that none need be looked for. An
    image, (N, 3, H, W), becomes a tuple of (N, D), its class token.

    Args:
        arch: Name of mmpretrain's, or its four widths.
        img_size: Height and width of the images, pixels.
        patch_size: Of a patch, pixels.
        stop_grad_conv1: Whether the patch projection stays as drawn (section 4.2).
        **kwargs: Those of ``mmpretrain.models.MoCoV3ViT``.

    ValueError if patches do not fill an image: what is left over would be cut off in silence.
    """

    def __init__(
        self,
        arch: str | dict = 'mocov3-small',
        img_size: int = 224,
        patch_size: int = 16,
        stop_grad_conv1: bool = True,
        **kwargs: Any,
    ) -> None:
        for name, side in dict(img_size=img_size, patch_size=patch_size).items():
            if type(side) is not int or side < 1:
                what = f'MoCoV3ViT.{name} must be a whole number from 1, got {side!r:.80}'
                raise ValueError(what)
        if img_size % patch_size:
            what = f'MoCoV3ViT.img_size {img_size} is no multiple of patch_size {patch_size}'
            raise ValueError(f'{what}; take another of either')
        sizes = dict(arch=arch, img_size=img_size, patch_size=patch_size)
        super().__init__(stop_grad_conv1=stop_grad_conv1, **sizes, **kwargs)
        self.pos_embed.requires_grad_(False)
