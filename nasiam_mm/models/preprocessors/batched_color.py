# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Colour operations on a batch in which every image has its own factor.

Same functions of the pixels as ``torchvision.transforms.v2.functional``. Names
ending in an underscore change their argument. Images are (N, 3, H, W) float32 in
[0, 1], factors are (N,) on the images' device.
"""

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import rgb_to_grayscale


def adjust_brightness_(images: Tensor, factor: Tensor) -> Tensor:
    """Scale the images by ``factor``; bit-equal to torchvision."""
    return images.mul_(_per_image(factor)).clamp_(0, 1)


def adjust_contrast_(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each image with its own mean luma; within 3e-7 of torchvision."""
    factor = _per_image(factor)
    mean = rgb_to_grayscale(images).mean(dim=(1, 2, 3), keepdim=True)
    return images.mul_(factor).add_(mean * (1 - factor)).clamp_(0, 1)


def adjust_saturation_(images: Tensor, factor: Tensor) -> Tensor:
    """Blend each image with its luma; within 3e-7 of torchvision."""
    torch.lerp(rgb_to_grayscale(images), images, _per_image(factor), out=images)
    return images.clamp_(0, 1)


def adjust_hue_(images: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue by ``shift`` turns in HSV; exact to 1e-6, as torchvision to 1.1e-6.

    With value v = max, chroma c = max - min and hue h in turns, a channel is
    ``v - c * clamp(2 - 6 |d|, 0, 1)``, where d in turns is how far h is from
    the channel's complement on the colour circle. Saturation cancels out.
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

    Slot by slot the images are sorted by operation, so that each operation
    works in place on one slice.

    Args:
        images (Tensor): (N, 3, H, W).
        factors (Tensor): (N, 4): brightness, contrast, saturation, hue shift.
            On the host, as the next two.
        order (Tensor): (N, 4) int64, a permutation of 0..3 per image.
        apply (Tensor): (N,) bool, which images to jitter.
    """
    rows = apply.nonzero().squeeze(1)
    if not len(rows):
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


def _per_image(factor: Tensor) -> Tensor:
    """Shape (N,) as (N, 1, 1, 1)."""
    return factor[:, None, None, None]
