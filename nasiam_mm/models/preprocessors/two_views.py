# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Data preprocessor that makes the views of a batch on the model's device."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from nasiam_mm.datasets.resolve import refuse_unresolved
from nasiam_mm.models.preprocessors.batched_views import make_view, make_view_of_crops
from nasiam_mm.registry import MODELS
from nasiam_mm.views import sample_view_params, view_recipes

_CPU_CHUNK = 128  # images at a time: fewer cost calls, more leave the cache


@MODELS.register_module()
class TwoViewPreprocessor(BaseDataPreprocessor):
    """Make two (or more) random views of each image, then normalise.

    A view is a pure function of the image, the sample's ``view_seed`` and the
    number of the view: not of the batch around it, the rank, or any state. (Bit
    for bit on one CPU thread, to float32 rounding between devices.) A resumed
    run therefore sees the views it would have seen.

    Images may also come as the crops that ``DecodeCrops`` made of them with the
    same recipes; their views then differ by the crops' rounding to uint8.

    Args:
        mean (Sequence[float]): Mean per RGB channel, on the scale 0..255.
        std (Sequence[float]): Deviation per RGB channel, on the scale 0..255.
        views (dict | Sequence[dict] | None): Fields of :class:`ViewRecipe`, one
            dict for all views or one per view. Defaults to the CIFAR recipe.
        num_views (int): Views per image. Defaults to 2.
        channels_last (bool): Whether inputs are laid out NHWC in memory, which
            is faster for convolutions. Defaults to False.
        chunk_size (int | None): Images worked on at a time, which changes no
            view; None for 128 on a CPU and all elsewhere.
        non_blocking (bool): Passed to ``Tensor.to``. Defaults to False.

    Raises:
        ValueError: For a recipe that is not valid, or ``mean``, ``std``,
            ``views`` or ``num_views`` that do not fit.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        views: dict | Sequence[dict] | None = None,
        num_views: int = 2,
        channels_last: bool = False,
        chunk_size: int | None = None,
        non_blocking: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        refuse_unresolved(mean)
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f'mean and std need 3 values, std > 0; got {mean} and {std}')
        self.recipes = view_recipes(views, num_views)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.chunk_size = chunk_size
        self.register_buffer('mean', torch.tensor(mean).float().view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).float().view(3, 1, 1), persistent=False)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Turn collated samples into the inputs of a model.

        Args:
            data (dict): ``inputs``, a uint8 tensor (N, 3, H, W), a list of N
                images (3, H, W) or, when training, the crops of all views
                (N, V, 3, S, S); when training also ``view_seed``, N integers;
                ``data_samples`` if there are any. Other keys are dropped.
            training (bool): Whether to make views. Defaults to False.

        Returns:
            dict: ``inputs``, float32: when training a list of ``num_views``
            tensors (N, 3, S, S), else the normalised images (N, 3, H, W);
            ``data_samples``, or None.

        Raises:
            ValueError: If training without ``view_seed``, or if images, crops
                or seeds have the wrong type, shape or number.
        """
        images = self.cast_data(data['inputs'])
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            inputs = self._views(images, _seeds_of(data)) if training else self._images(images)
        return {'inputs': inputs, 'data_samples': self.cast_data(data.get('data_samples'))}

    def _views(self, images: Tensor | Sequence[Tensor], seeds: Tensor) -> list[Tensor]:
        """All views of all images, one tensor (N, 3, S, S) per view."""
        if len(images) != len(seeds):
            raise ValueError(f'got {len(images)} images but {len(seeds)} view seeds')
        is_cropped = isinstance(images, Tensor) and images.dim() == 5
        if is_cropped:
            self._check_crops(images)
            height = width = 1  # only their boxes would depend on a size
        else:
            images, height, width = _checked(images)
        mean, std = self.mean / 255, self.std / 255
        chunk_size = self.chunk_size or (_CPU_CHUNK if self.device.type == 'cpu' else len(images))
        outputs = []
        for view, recipe in enumerate(self.recipes):
            shape = len(images), 3, recipe.size, recipe.size
            output = torch.empty(shape, device=self.device, memory_format=self.memory_format)
            params = sample_view_params(seeds, view, recipe, height, width)
            for start in range(0, len(images), chunk_size):
                chunk = slice(start, start + chunk_size)
                rows = params.rows(chunk)
                if is_cropped:
                    pixels = make_view_of_crops(images[chunk, view], rows, recipe)  # type: ignore
                else:
                    pixels = make_view(images[chunk], rows, recipe)
                torch.div(pixels.sub_(mean), std, out=output[chunk])
            outputs.append(output)
        return outputs

    def _check_crops(self, crops: Tensor) -> None:
        """Refuse crops that are not uint8 RGB, one per view and of its size."""
        expected = {(len(self.recipes), 3, recipe.size, recipe.size) for recipe in self.recipes}
        if crops.dtype != torch.uint8 or {tuple(crops.shape[1:])} != expected:
            raise ValueError(
                f"'inputs' must be uint8 crops (N, V, 3, S, S) with (V, 3, S, S) in "
                f'{sorted(expected)}, got {crops.dtype} {tuple(crops.shape)}; give DecodeCrops '
                f'the views of the preprocessor'
            )

    def _images(self, images: Tensor | Sequence[Tensor]) -> Tensor:
        """The images themselves, normalised, (N, 3, H, W)."""
        if not isinstance(images, Tensor):
            images = torch.stack(list(images))
        images = (images.float() - self.mean) / self.std
        return images.contiguous(memory_format=self.memory_format)


def _seeds_of(data: Mapping[str, Any]) -> Tensor:
    """The seeds of a batch on the host, (N,) int64."""
    if 'view_seed' not in data:
        raise ValueError(
            "training views need 'view_seed' in every sample: wrap the dataset in ReplayDataset"
        )
    seeds = torch.as_tensor(data['view_seed']).cpu()
    if seeds.dim() != 1 or seeds.is_floating_point():
        raise ValueError(f"'view_seed' must be N integers, got {seeds.dtype} {tuple(seeds.shape)}")
    return seeds.long()


def _checked(images: Tensor | Sequence[Tensor]) -> tuple[Any, Any, Any]:
    """Images of one size as one tensor, height and width; tensors (N,) for images of several.

    What is not uint8 RGB is refused.
    """
    for image in images[:1] if isinstance(images, Tensor) else images:
        if image.dtype != torch.uint8 or image.dim() != 3 or image.shape[0] != 3:
            raise ValueError(
                f"'inputs' must be uint8 images (3, H, W), got {image.dtype} {tuple(image.shape)}"
            )
    if not isinstance(images, Tensor) and len({image.shape for image in images}) == 1:
        images = torch.stack(list(images))
    if isinstance(images, Tensor):
        return images, *images.shape[2:]
    return images, *torch.tensor([image.shape[1:] for image in images]).unbind(1)
