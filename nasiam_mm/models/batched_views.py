# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Views of a batch in which every image has its own random parameters.

torchvision's transforms draw one set of parameters per call; these take one set per image, and are
pure functions of the pixels and of :class:`ViewParams`. Names ending in an underscore change their
argument. Images are (N, 3, H, W) float32 in [0, 1], factors are (N,) on the images' device.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale, solarize

from nasiam_mm.views.view_params import CropBox, ViewParams, ViewRecipe


def resized_crop(images: Tensor, box: CropBox, size: int, flip: Tensor | None = None) -> Tensor:
    """Crop each image to its box and resize to a square, antialiased bilinear.

    Equals torchvision's ``resized_crop(antialias=True)``: half-pixel centres, a triangle filter
    that widens when it shrinks, nothing from outside the box. Two products with per-image (S, H)
    and (S, W) filter matrices. (N, 3, H, W), uint8 or float in [0, 1], gives (N, 3, S, S) float32
    in [0, 1], of which ``flip``, (N,) bool, are mirrored horizontally.
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
    """Blur each image (N, 3, H, W) float with its own Gaussian, as torchvision's ``gaussian_blur``.

    ``sigma``, (N,), is in pixels; the odd window is the same for all, mirrored at the border.
    """
    channels = images.shape[1]
    radius = kernel_size // 2
    offset = torch.arange(-radius, radius + 1, device=images.device)
    kernel = (-0.5 * (offset / sigma[:, None]) ** 2).softmax(dim=1)
    kernel = kernel.repeat_interleave(channels, dim=0)[:, None]
    planes = F.pad(images, (radius,) * 4, mode='reflect').flatten(0, 1)[None]
    planes = F.conv2d(planes, kernel[:, :, :, None], groups=len(kernel))
    planes = F.conv2d(planes, kernel[:, :, None, :], groups=len(kernel))
    return planes.view_as(images)


def adjust_brightness_(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the images by ``factor``; bit-equal to torchvision."""
    return images.mul_(factor[:, None, None, None]).clamp_(0, 1)


def adjust_contrast_(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each image with its own mean luma; within 3e-7 of torchvision."""
    factor = factor[:, None, None, None]
    mean = rgb_to_grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
    return images.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def adjust_saturation_(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each image with its luma; within 3e-7 of torchvision."""
    torch.lerp(rgb_to_grayscale(images), images, factor[:, None, None, None], out=images)
    return images.clamp_(0, 1)


def adjust_hue_(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by ``shift`` turns in HSV; exact to 1e-6, as torchvision to 1.1e-6.

    With value v = max, chroma c = max - min and hue h in turns, a channel is
    ``v - c * clamp(2 - 6 |d|, 0, 1)``, where d in turns is how far h is from the channel's
    complement on the colour circle. Saturation cancels out.
    """
    red, green, blue = images.unbind(dim=1)
    value = images.amax(dim=1)
    chroma = value - images.amin(dim=1)
    # lerp with a weight of exactly 0 or 1 selects, several times faster than where().
    weight = torch.empty_like(value)
    hue = (red - green).sub_(chroma, alpha=2)
    hue.lerp_((blue - red).add_(chroma, alpha=2), torch.eq(green, value, out=weight))
    hue.lerp_(green - blue, torch.eq(red, value, out=weight))
    # Grey pixels: 0 / tiny is a hue of 0, and no chroma multiplies it below.
    hue.div_(chroma.mul(6).clamp_(min=1e-30))
    # Cyan, magenta and yellow lie at 3/6, 5/6 and 1/6 of a turn: -3/6, 1/6 and -1/6 to add.
    complement = torch.arange(3, -2, -2, device=shift.device) / 6
    distance = hue[:, None] + (shift[:, None] + complement)[:, :, None, None]
    distance.sub_(distance.round()).abs_()
    dip = distance.mul_(-6).add_(2).clamp_(0, 1).mul_(chroma[:, None])
    return torch.sub(value[:, None], dip, out=images)


_OPERATIONS = (adjust_brightness_, adjust_contrast_, adjust_saturation_, adjust_hue_)


def color_jitter_(images: Tensor, factors: Tensor, order: Tensor, apply: Tensor) -> Tensor:
    """Jitter each image in place with its own factors in its own order of operations.

    Slot by slot the images are sorted by operation, so that each works in place on one slice. On
    the host: ``factors``, (N, 4), of brightness, contrast, saturation, hue shift; ``order``, (N, 4)
    int64, a permutation of 0..3 per image; ``apply``, (N,) bool, which images to jitter.
    """
    if not len(rows := apply.nonzero().squeeze(1)):
        return images
    order = order[rows]
    sorting = order.t().argsort(dim=1, stable=True)  # (4, n): image at each place of a slot
    counts = (order[:, :, None] == torch.arange(4)).sum(dim=0).tolist()
    # Where the previous arrangement holds the images that a slot wants, in its order.
    moves = sorting[:-1].argsort(dim=1).gather(1, sorting[1:])
    moves = torch.cat((rows[sorting[:1]], moves, rows[sorting[-1:]]))
    # Not blocking: a plain copy to a GPU would wait for all its queued work.
    moves = moves.to(images.device, non_blocking=True)
    factors = factors[rows][sorting].to(images.device, non_blocking=True)
    arranged = images
    for slot in range(4):
        arranged = arranged.index_select(0, moves[slot])
        groups = zip(arranged.split(counts[slot]), factors[slot].split(counts[slot]), strict=True)
        for op, (group, factor) in enumerate(groups):
            if len(group):
                _OPERATIONS[op](group, factor[:, op])
    return images.index_copy_(0, moves[4], arranged)


def make_view(
    images: Tensor | Sequence[Tensor], params: ViewParams, recipe: ViewRecipe, cropped: bool = False
) -> Tensor:
    """Make one view of every image, (N, 3, S, S) float32 in [0, 1].

    Args:
        images: (N, 3, H, W), or N images (3, H, W) of any sizes, uint8 or float in [0, 1].
        params: Parameters of the N samples, on the host.
        recipe: The recipe they were sampled from.
        cropped: Whether the images are uint8 crops (N, 3, S, S) already, not yet flipped.
    """
    if cropped:
        view = images.float().div_(255)  # type: ignore[union-attr]
        if len(rows := _rows(params.flip, view)):
            view[rows] = view[rows].flip(3)
    elif isinstance(images, Tensor):
        view = resized_crop(images, params.box, recipe.size, params.flip)
    else:
        view = _crop_one_by_one(images, params, recipe.size)
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
    boxes = torch.stack(params.box, dim=1).tolist()
    for image, flip, (top, left, height, width) in zip(images, params.flip, boxes, strict=True):
        cut = image[None, :, top : top + height, left : left + width]
        whole = CropBox(*torch.tensor([0, 0, height, width]).split(1))
        views.append(resized_crop(cut, whole, size, flip[None]))
    return torch.cat(views)


def _to(tensor: Tensor, images: Tensor) -> Tensor:
    """A host tensor on the images' device, without waiting for the device."""
    return tensor.to(images.device, non_blocking=True)


def _rows(mask: Tensor, images: Tensor) -> Tensor:
    """Indices of the true entries of a host mask, on the images' device."""
    return _to(mask.nonzero().squeeze(1), images)
