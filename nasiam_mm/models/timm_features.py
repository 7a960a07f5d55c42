# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A network of timm as a backbone, pooled as timm pools it; nothing is fetched."""

from typing import Any

from mmengine.model import BaseModule
from torch import Tensor

from nasiam_mm.models.seeds import own_stream
from nasiam_mm.registry import MODELS
from nasiam_mm.versions import require


@MODELS.register_module()
class TimmFeatures(BaseModule):
    """The features before the classifier of a timm network, (N, D), whatever its layout.

    mmpretrain's ``TIMMBackbone`` gives unpooled maps, of transformers as (N, L, D) or (N, H, W, D).
    Weights are drawn anew, of a stream of their own (contract C16); a pretrained name is refused,
    as is one that leads to a hub.

    Args:
        model_name: A name of ``timm.list_models()``, without a tag behind a point.
        img_size: Side of the images in pixels, for networks that are built for one size.
        init_cfg: See ``BaseModule``.

    Raises:
        ModuleNotFoundError: If timm is not installed.
        ValueError: If timm has no such network, or not for such images.
    """

    def __init__(
        self, model_name: str, img_size: int | None = None, init_cfg: dict | list | None = None
    ) -> None:
        super().__init__(init_cfg)
        timm: Any = require('timm', 'export')
        if not isinstance(model_name, str) or model_name not in timm.list_models():
            near = timm.list_models(f'*{str(model_name)[:20]}*')[:3]
            hint = f'as {", ".join(near)}' if near else 'see timm.list_models()'
            raise ValueError(
                f'timm has no network {model_name!r:.80}; give one of its names, {hint}'
            )
        more = {} if img_size is None else {'img_size': img_size}
        try:
            with own_stream('backbone'):
                self.network = timm.create_model(
                    model_name, pretrained=False, num_classes=0, **more
                )
        except (TypeError, AssertionError, RuntimeError) as error:
            size = '' if img_size is None else f' for images of {img_size} pixels'
            raise ValueError(f'timm cannot build {model_name}{size}: {error!s:.200}') from error

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Return the features of images, (N, 3, H, W), as a tuple of (N, D)."""
        return (self.network(images),)
