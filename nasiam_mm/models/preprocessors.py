# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Data preprocessors: the views of a batch made on the model's device, and mmpretrain's own."""

from collections.abc import Mapping, Sequence
from typing import Any

import mmpretrain.models as mmpretrain_models
import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor

from nasiam_mm.datasets.resolve import refuse_unresolved
from nasiam_mm.models.batched_views import make_view
from nasiam_mm.models.losses import in_float32
from nasiam_mm.registry import MODELS
from nasiam_mm.views.view_params import sample_view_params, view_recipes

_CPU_CHUNK = 128  # images at a time: fewer cost calls, more leave the cache


@MODELS.register_module()
class TwoViewPreprocessor(BaseDataPreprocessor):
    """Make two (or more) random views of each image, then normalise.

    A view is a pure function of the image, the sample's ``view_seed`` and the number of the view:
    not of the batch around it, the rank, or any state. (Bit for bit on one CPU thread, to float32
    rounding between devices.) A resumed run therefore sees the views it would have seen.

    Images may also come as the crops that ``DecodeCrops`` made of them with the same recipes;
    their views then differ by the crops' rounding to uint8.

    Args:
        mean: Mean per RGB channel, on the scale 0..255; ``std`` its deviation.
        views: See :func:`view_recipes`.
        num_views: Views per image.
        channels_last: Whether inputs are laid out NHWC in memory, faster for convolutions.
        chunk_size: Images worked on at a time, which changes no view; None for 128 on a CPU, and
            all of them elsewhere.
        non_blocking: Passed to ``Tensor.to``.
        eval_size: Side that plain images are averaged down to before they are normalised, for a
            backbone that is trained on views smaller than the images; None to leave them. By a
            whole factor f a pixel is the mean of a block of f x f; otherwise the blocks overlap.
        with_index: Whether a training's ``data_samples`` are the numbers of its samples, (N,) int64
            on the host, where the data set gives them (``with_index=True`` too), and None if not.
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
        eval_size: int | None = None,
        with_index: bool = False,
    ) -> None:
        super().__init__(non_blocking)
        self.with_index = with_index
        refuse_unresolved(mean)
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f'mean and std need 3 values, std > 0; got {mean} and {std}')
        self.recipes = view_recipes(views, num_views)
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.chunk_size = chunk_size
        if eval_size is not None and (type(eval_size) is not int or eval_size < 1):
            raise ValueError(f'eval_size must be a whole number from 1, or None, got {eval_size!r}')
        self.eval_size = eval_size
        self.register_buffer('mean', torch.tensor(mean).float().view(3, 1, 1), persistent=False)
        self.register_buffer('std', torch.tensor(std).float().view(3, 1, 1), persistent=False)

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Turn collated samples into the inputs of a model; ValueError for what cannot be.

        Args:
            data: ``inputs``, a uint8 tensor (N, 3, H, W), a list of N images (3, H, W) or, when
                training, the crops of all views, (N, V, 3, S, S) or a list of V of (N, 3, S, S);
                when training also ``view_seed``, N integers; ``data_samples`` if there are any.
                Other keys are dropped.
            training: Whether to make views.

        Returns:
            ``inputs``, float32: when training a list of ``num_views`` tensors (N, 3, S, S), each of
            the size of its recipe, else the normalised images (N, 3, H, W), H and W ``eval_size``
            if set; ``data_samples``, or None.
        """
        images = self.cast_data(data['inputs'])
        with torch.no_grad(), in_float32(self.mean):
            if training:
                inputs = self._views(images, _seeds_of(data))
            else:
                if self.eval_size is not None:
                    images = _shrunk(images, self.eval_size)
                images = images if isinstance(images, Tensor) else torch.stack(list(images))
                images = (images.float() - self.mean) / self.std
                inputs = images.contiguous(memory_format=self.memory_format)
        if training and self.with_index:
            return {'inputs': inputs, 'data_samples': _indices_of(data)}
        return {'inputs': inputs, 'data_samples': self.cast_data(data.get('data_samples'))}

    def cast_data(self, data: Any) -> Any:
        """Move collated data to the model's device; data of a loader is on the CPU already."""
        # A sample a copy is more than what small images cost otherwise.
        return data if self.device.type == 'cpu' else super().cast_data(data)

    def _views(self, images: Tensor | Sequence[Tensor], seeds: Tensor) -> list[Tensor]:
        """All views of all images, one tensor (N, 3, S, S) per view."""
        crops = _crops_of(images)
        count = len(images) if crops is None else len(crops[0])
        if count != len(seeds):
            raise ValueError(f'got {count} images but {len(seeds)} view seeds')
        if crops is None:
            images, height, width = _checked(images)
        else:
            self._check_crops(crops)
            height, width = 1, 1  # on which nothing but the boxes would depend
        mean, std = self.mean / 255, self.std / 255
        chunk_size = self.chunk_size or (_CPU_CHUNK if self.device.type == 'cpu' else count)
        outputs = []
        for view, recipe in enumerate(self.recipes):
            shape = count, 3, recipe.size, recipe.size
            output = torch.empty(shape, device=self.device, memory_format=self.memory_format)
            params = sample_view_params(seeds, view, recipe, height, width)
            sources = images if crops is None else crops[view]
            for start in range(0, count, chunk_size):
                chunk = slice(start, start + chunk_size)
                pixels = make_view(sources[chunk], params.rows(chunk), recipe, crops is not None)
                torch.div(pixels.sub_(mean), std, out=output[chunk])
            outputs.append(output)
        return outputs

    def _check_crops(self, crops: Sequence[Tensor]) -> None:
        """Refuse crops that are not those of the recipes, view by view."""
        count = len(crops[0])
        expected = [(count, 3, recipe.size, recipe.size) for recipe in self.recipes]
        is_bytes = all(crop.dtype == torch.uint8 for crop in crops)
        if not is_bytes or [tuple(crop.shape) for crop in crops] != expected:
            sizes = [recipe.size for recipe in self.recipes]
            got = ', '.join(dict.fromkeys(map(_kind, crops)))
            raise ValueError(
                f"'inputs' must be uint8 crops of {len(sizes)} views, sizes {sizes}, got "
                f'{len(crops)} of {got}; give DecodeCrops the views of the preprocessor'
            )


def _crops_of(images: Tensor | Sequence[Tensor]) -> Sequence[Tensor] | None:
    """Crops of each view, (N, 3, S, S), where the images are such."""
    if isinstance(images, Tensor):
        return images.unbind(1) if images.dim() == 5 and images.size(1) else None
    return images if len(images) and all(image.dim() == 4 for image in images) else None


def _shrunk(images: Tensor | Sequence[Tensor], size: int) -> Tensor:
    """Average images down to squares, (N, 3, S, S), float32."""
    if not isinstance(images, Tensor):
        return torch.cat([_shrunk(image[None], size) for image in images])
    if min(images.shape[2:]) < size:
        what = f'eval_size {size} is more than a side of the images, {tuple(images.shape[2:])}'
        raise ValueError(f'{what}; averaging only makes them smaller')
    return F.interpolate(images.float(), (size, size), mode='area')


def _seeds_of(data: Mapping[str, Any]) -> Tensor:
    """The seeds of a batch on the host, (N,) int64."""
    if 'view_seed' not in data:
        raise ValueError("views need 'view_seed' in all samples: wrap the dataset in ReplayDataset")
    seeds = torch.as_tensor(data['view_seed']).cpu()
    if seeds.dim() != 1 or seeds.is_floating_point():
        raise ValueError(f"'view_seed' must be N integers, got {_kind(seeds)}")
    return seeds.long()


def _indices_of(data: Mapping[str, Any]) -> Tensor | None:
    """The numbers of the samples of a batch on the host, (N,) int64, if they come along."""
    return None if 'sample_idx' not in data else torch.as_tensor(data['sample_idx']).cpu().long()


def _checked(images: Tensor | Sequence[Tensor]) -> tuple[Any, Any, Any]:
    """RGB images, one tensor if of one size, and height and width, (N,) each if of several."""
    for image in images[:1] if isinstance(images, Tensor) else images:
        if image.dtype != torch.uint8 or image.dim() != 3 or len(image) != 3:
            raise ValueError(f"'inputs' must be uint8 images (3, H, W), got {_kind(image)}")
    if not isinstance(images, Tensor) and len({image.shape for image in images}) == 1:
        images = torch.stack(list(images))
    if isinstance(images, Tensor):
        return images, *images.shape[2:]
    return images, *torch.tensor([image.shape[1:] for image in images]).unbind(1)


def _kind(tensor: Tensor) -> str:
    return f'{tensor.dtype} {tuple(tensor.shape)}'


class _Told:
    """Refuses a mean that is still to be read from the data."""

    def __init__(self, mean: object = None, **kwargs: Any) -> None:
        refuse_unresolved(mean)
        super().__init__(mean=mean, **kwargs)  # type: ignore[call-arg]


@MODELS.register_module()
class ClsDataPreprocessor(_Told, mmpretrain_models.ClsDataPreprocessor):
    """See :class:`mmpretrain.models.ClsDataPreprocessor`."""


@MODELS.register_module()
class SelfSupDataPreprocessor(_Told, mmpretrain_models.SelfSupDataPreprocessor):
    """See :class:`mmpretrain.models.SelfSupDataPreprocessor`."""
