# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Views of a batch in which every image has its own random parameters.

torchvision's transforms draw one set of parameters per call; these take one set
per image, and are pure functions of the pixels and of :class:`ViewParams`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale, solarize

from nasiam_mm.models.preprocessors.batched_color import color_jitter_
from nasiam_mm.views import CropBox, ViewParams, ViewRecipe


def resized_crop(images: Tensor, box: CropBox, size: int, flip: Tensor | None = None) -> Tensor:
    """Crop each image to its box and resize to a square, antialiased bilinear.

    Equals torchvision's ``resized_crop(antialias=True)``: half-pixel centres, a
    triangle filter that widens when it shrinks, nothing from outside the box.
    Two products with per-image (S, H) and (S, W) filter matrices.

    Args:
        images (Tensor): (N, 3, H, W), uint8 or float in [0, 1].
        box (CropBox): N boxes inside the images.
        size (int): Side S of the output, in pixels.
        flip (Tensor | None): (N,) bool, which outputs to mirror horizontally.

    Returns:
        Tensor: (N, 3, S, S) float32 in [0, 1].
    """
    top, left, box_h, box_w = (_to(side, images) for side in box)
    flip = None if flip is None else _to(flip, images)
    rows = _filter_matrix(top, box_h, images.shape[2], size)
    columns = _filter_matrix(left, box_w, images.shape[3], size, flip)
    if images.dtype == torch.uint8:
        images, rows = images.float(), rows.div_(255)
    shrunk = torch.bmm(images.flatten(1, 2), columns.mT).unflatten(1, images.shape[1:3])
    return torch.matmul(rows[:, None], shrunk)


def _filter_matrix(
    start: Tensor, length: Tensor, in_size: int, out_size: int, flip: Tensor | None = None
) -> Tensor:
    """Weights (N, out_size, in_size) that resize [start, start + length) of an axis."""
    device = start.device
    scale = length.float() / out_size
    target = torch.arange(out_size, device=device) + 0.5
    if flip is not None:
        target = torch.where(flip[:, None], target.flip(0), target)
    center = scale[:, None] * target
    source = torch.arange(in_size, device=device) - start[:, None] + 0.5
    # A pixel outside the box is infinitely far away.
    source.masked_fill_((source < 0) | (source > length[:, None]), torch.inf)
    distance = (source[:, None] - center[:, :, None]).abs_()
    weight = distance.mul_(scale.clamp(min=1).reciprocal_()[:, None, None].neg_())
    weight = weight.add_(1).clamp_(min=0)
    return weight.div_(weight.sum(dim=2, keepdim=True))


def gaussian_blur(images: Tensor, sigma: Tensor, kernel_size: int) -> Tensor:
    """Blur each image with its own Gaussian, mirrored at the border.

    Args:
        images (Tensor): (N, 3, H, W) float.
        sigma (Tensor): (N,) deviations in pixels.
        kernel_size (int): Odd window, the same for all.

    Returns:
        Tensor: (N, 3, H, W), as torchvision's ``gaussian_blur``.
    """
    n, channels, height, width = images.shape
    radius = kernel_size // 2
    offset = torch.arange(-radius, radius + 1, device=images.device)
    kernel = (-0.5 * (offset / sigma[:, None]) ** 2).softmax(dim=1)
    kernel = kernel.repeat_interleave(channels, dim=0)[:, None]
    planes = F.pad(images, (radius,) * 4, mode='reflect').flatten(0, 1)[None]
    planes = F.conv2d(planes, kernel[:, :, :, None], groups=n * channels)
    planes = F.conv2d(planes, kernel[:, :, None, :], groups=n * channels)
    return planes.view(n, channels, height, width)


def make_view(images: Tensor | Sequence[Tensor], params: ViewParams, recipe: ViewRecipe) -> Tensor:
    """Make one view of every image.

    Args:
        images (Tensor | Sequence[Tensor]): (N, 3, H, W), or N images (3, H, W)
            of any sizes, uint8 or float in [0, 1].
        params (ViewParams): Parameters of the N samples, on the host.
        recipe (ViewRecipe): The recipe they were sampled from.

    Returns:
        Tensor: (N, 3, S, S) float32 in [0, 1].
    """
    if isinstance(images, Tensor):
        view = resized_crop(images, params.box, recipe.size, params.flip)
    else:
        view = _crop_one_by_one(images, params, recipe.size)
    return _recolored_(view, params, recipe)


def make_view_of_crops(crops: Tensor, params: ViewParams, recipe: ViewRecipe) -> Tensor:
    """Make one view, as :func:`make_view`, of every image of which only the crop is there.

    Args:
        crops (Tensor): (N, 3, S, S) uint8, cropped and resized, not yet flipped.
    """
    view = crops.float().div_(255)
    if len(rows := _rows(params.flip, view)):
        view[rows] = view[rows].flip(3)
    return _recolored_(view, params, recipe)


def _recolored_(view: Tensor, params: ViewParams, recipe: ViewRecipe) -> Tensor:
    """All that follows the crop and the flip, in place."""
    color_jitter_(view, params.factors, params.order, params.jitter)
    if len(rows := _rows(params.gray, view)):
        view[rows] = rgb_to_grayscale(view[rows], num_output_channels=3)
    if len(rows := _rows(params.blur, view)):
        sigma = _to(params.sigma[params.blur], view)
        view[rows] = gaussian_blur(view[rows], sigma, recipe.blur_kernel)
    if len(rows := _rows(params.solarize, view)):
        view[rows] = solarize(view[rows], recipe.solarize_threshold)
    return view


def _crop_one_by_one(images: Sequence[Tensor], params: ViewParams, size: int) -> Tensor:
    """Crop images of different sizes; cutting first keeps the filter matrices small."""
    views = []
    for image, flip, *sides in zip(images, params.flip, *params.box, strict=True):
        top, left, height, width = (int(side) for side in sides)
        cut = image[None, :, top : top + height, left : left + width]
        whole = CropBox(*(torch.tensor([side]) for side in (0, 0, height, width)))
        views.append(resized_crop(cut, whole, size, flip[None]))
    return torch.cat(views)


def _to(tensor: Tensor, images: Tensor) -> Tensor:
    """A host tensor on the images' device, without waiting for the device."""
    return tensor.to(images.device, non_blocking=True)


def _rows(mask: Tensor, images: Tensor) -> Tensor:
    """Indices of the true entries of a host mask, on the images' device."""
    return _to(mask.nonzero().squeeze(1), images)
