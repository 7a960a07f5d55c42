# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a view is made of: the recipe, and each sample's random parameters.

Parameters are sampled on the host from the samples' seeds. They are therefore the same for every
device, and which samples share an operation is known without waiting for the device.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasiam_mm.views.counter_rng import CounterStream, counter_uniform

Range = tuple[float, float]
CROP_TRIES = 10
CROP_DRAWS = 2 * CROP_TRIES + 2

# Which draw of a (seed, view) decides what. Moving one changes every seeded run.
_FLIP, _JITTER, _GRAY, _BLUR, _SOLARIZE, _SIGMA = range(6)
_FACTORS, _ORDER, _CROP = slice(6, 10), slice(10, 14), slice(14, 14 + CROP_DRAWS)
_DRAWS = 14 + CROP_DRAWS


@dataclass(frozen=True)
class JitterRecipe:
    """Strengths of the colour jitter, as in torchvision's ``ColorJitter``."""

    brightness: float = 0.4  # the factor is uniform in [max(0, 1 - brightness), 1 + brightness]
    contrast: float = 0.4  # likewise
    saturation: float = 0.4  # likewise
    hue: float = 0.1  # the shift is uniform in [-hue, hue] turns, at most 0.5
    prob: float = 0.8  # that a sample is jittered at all

    def __post_init__(self) -> None:
        _check_within('jitter', self, math.inf, 'brightness', 'contrast', 'saturation')
        _check_within('jitter', self, 0.5, 'hue')
        _check_within('jitter', self, 1, 'prob')


@dataclass(frozen=True)
class ViewRecipe:
    """Distribution of one view; the defaults are the CIFAR views of SimSiam.

    The order is crop, flip, colour jitter, grey, blur, solarize. (The flip commutes with all that
    follows, so it costs nothing inside the crop.)
    """

    size: int = 32  # side S of the square view, in pixels
    scale: Range = (0.2, 1.0)  # the crop's share of the image area
    ratio: Range = (3 / 4, 4 / 3)  # the crop's width / height
    flip_prob: float = 0.5
    jitter: JitterRecipe | None = field(default_factory=JitterRecipe)
    gray_prob: float = 0.2
    blur_prob: float = 0.0
    blur_sigma: Range = (0.1, 2.0)  # the Gaussian's deviation, in pixels
    blur_kernel: int = None  # type: ignore  # its odd window; None for about S / 10 (SimCLR)
    solarize_prob: float = 0.0
    solarize_threshold: float = 0.5  # from which value on, in [0, 1], pixels are inverted

    def __post_init__(self) -> None:
        for name in ('scale', 'ratio', 'blur_sigma'):
            pair = getattr(self, name)
            if len(pair) != 2 or not 0 < pair[0] <= pair[1]:
                raise ValueError(f'view {name} must be (low, high), 0 < low <= high, got {pair}')
        shares = 'flip_prob', 'gray_prob', 'blur_prob', 'solarize_prob', 'solarize_threshold'
        _check_within('view', self, 1, *shares)
        if self.size < 2:
            raise ValueError(f'view size must be at least 2 pixels, got {self.size}')
        if self.blur_kernel is None:
            object.__setattr__(self, 'blur_kernel', max(3, self.size // 10 | 1))
        if self.blur_kernel % 2 == 0 or not 3 <= self.blur_kernel < 2 * self.size:
            bounds = f'odd, at least 3 and below twice the size {self.size}'
            raise ValueError(f'view blur_kernel must be {bounds}, got {self.blur_kernel}')

    @classmethod
    def from_cfg(cls, cfg: Mapping[str, Any]) -> 'ViewRecipe':
        """Build from a config, ``jitter`` a dict too; ValueError for a key that is no field."""
        jitter = cfg.get('jitter', {})
        for owner, keys in ((cls, cfg), (JitterRecipe, jitter or {})):
            known = {item.name for item in fields(owner)}
            if unknown := sorted(set(keys) - known):
                raise ValueError(f'{owner.__name__} has no {unknown}; it takes {sorted(known)}')
        return cls(**{**cfg, 'jitter': None if jitter is None else JitterRecipe(**jitter)})


def view_recipes(
    views: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None, num_views: int
) -> list[ViewRecipe]:
    """Build each view's recipe; ValueError for one not valid, or another number of them.

    ``views`` are fields of :class:`ViewRecipe`, one dict for all or one per view; None for CIFAR's.
    """
    if views is None or isinstance(views, Mapping):
        views = [views or {}] * num_views
    if not 0 < num_views == len(views):
        raise ValueError(f'num_views={num_views}, but views lists {len(views)} recipes')
    return [ViewRecipe.from_cfg(view) for view in views]


def view_sides(views: object, size: int) -> list[int]:
    """Return the sides of the views of a config, pixels, the largest of which are of a size.

    ``views`` are as for :func:`view_recipes`; they are two where they are no list.
    """
    given = list(views) if isinstance(views, (list, tuple)) else [{}, {}]
    sides = [view.get('size', ViewRecipe.size) for view in given]
    return [max(2, side * size // max(sides)) for side in sides]


class CropBox(NamedTuple):
    """Boxes in pixels of the source image, each (N,) int64."""

    top: Tensor
    left: Tensor
    height: Tensor
    width: Tensor


class ViewParams(NamedTuple):
    """Random parameters of N samples of one view, on the host."""

    box: CropBox
    flip: Tensor  # (N,) bool
    jitter: Tensor  # (N,) bool
    factors: Tensor  # (N, 4) float32: brightness, contrast, saturation, hue shift
    order: Tensor  # (N, 4) int64: the operation in each slot, an index into factors
    gray: Tensor  # (N,) bool
    blur: Tensor  # (N,) bool
    sigma: Tensor  # (N,) float32
    solarize: Tensor  # (N,) bool

    def rows(self, chunk: slice) -> 'ViewParams':
        """The parameters of some of the samples."""
        box, *others = self
        return ViewParams(CropBox(*(side[chunk] for side in box)), *(x[chunk] for x in others))


def sample_resized_crop(
    u: Tensor, height: int | Tensor, width: int | Tensor, scale: Range, ratio: Range
) -> CropBox:
    """Sample crop boxes as torchvision's ``RandomResizedCrop.get_params`` does.

    The first of ten (area, log-uniform ratio) pairs whose rounded box fits the image, at a uniform
    integer offset; the largest central box if none fits. ``u`` are (N, 22) uniform numbers: ten
    areas, ten ratios, two offsets; ``height`` and ``width`` those of all images, or (N,) of each;
    ``scale`` bounds the box's share of the area, ``ratio`` its width / height.
    """
    top, left, box_h, box_w = _resized_crop(u.numpy(), height, width, scale, ratio)
    return CropBox(*(torch.from_numpy(side) for side in (top, left, box_h, box_w)))


def _resized_crop(
    u: np.ndarray, height: int | Tensor, width: int | Tensor, scale: Range, ratio: Range
) -> Sequence[np.ndarray]:
    """Return what :func:`sample_resized_crop` does; numpy, as a call of torch takes five times."""
    # float64: the last bit of exp() or sqrt() then practically never turns a rounding.
    u = u.astype(np.float64)
    full_h, full_w = (
        np.broadcast_to(np.asarray(side, np.float64), len(u)) for side in (height, width)
    )
    area = (full_h * full_w)[:, None] * _between(u[:, :CROP_TRIES], *scale)
    aspect = np.exp(_between(u[:, CROP_TRIES : 2 * CROP_TRIES], *map(math.log, ratio)))
    tried_w, tried_h = np.sqrt(area * aspect).round(), np.sqrt(area / aspect).round()
    fits = (tried_w > 0) & (tried_w <= full_w[:, None])
    fits &= (tried_h > 0) & (tried_h <= full_h[:, None])
    # argmax gives the first of equal maxima.
    rows, first = np.arange(len(u)), fits.argmax(1)
    found = fits[rows, first]
    center_w = np.minimum(full_w, (full_h * max(ratio)).round())
    center_h = np.minimum(full_h, (full_w / min(ratio)).round())
    box_w = np.where(found, tried_w[rows, first], center_w)
    box_h = np.where(found, tried_h[rows, first], center_h)
    free_h, free_w = full_h - box_h, full_w - box_w
    top = np.where(found, u[:, -2] * (free_h + 1), free_h / 2)
    left = np.where(found, u[:, -1] * (free_w + 1), free_w / 2)
    return [
        side.astype(np.int64) for side in (top, left, box_h, box_w)
    ]  # cut off: none is negative


def sample_crop_boxes(
    seed: int, recipes: Sequence[ViewRecipe], height: int, width: int
) -> list[tuple[int, int, int, int]]:
    """(Top, left, height, width) per view of a sample, as :func:`sample_view_params` boxes it."""
    return [_first_box(CounterStream(seed, v), height, width, r) for v, r in enumerate(recipes)]


def _first_box(
    stream: CounterStream, height: int, width: int, recipe: ViewRecipe
) -> tuple[int, int, int, int]:
    """Return what :func:`_resized_crop` does for one image, drawing no more than is looked at."""
    first, last = _CROP.start, _CROP.stop
    logs = [math.log(side) for side in recipe.ratio]
    for number in range(first, first + CROP_TRIES):
        area = float(height) * width * _between(stream[number], *recipe.scale)
        # numpy's, as exp() of the standard library may differ in the last bit.
        aspect = float(np.exp(_between(stream[number + CROP_TRIES], *logs)))
        box_h, box_w = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < box_h <= height and 0 < box_w <= width:
            top, left = (
                stream[last - 2] * (height - box_h + 1),
                stream[last - 1] * (width - box_w + 1),
            )
            return int(top), int(left), box_h, box_w
    box_h = min(height, round(width / min(recipe.ratio)))
    box_w = min(width, round(height * max(recipe.ratio)))
    return (height - box_h) // 2, (width - box_w) // 2, box_h, box_w


def sample_view_params(
    seeds: Tensor, view: int, recipe: ViewRecipe, height: int | Tensor, width: int | Tensor
) -> ViewParams:
    """Sample the parameters of one view of N samples, whose seeds are (N,) int64 on the host.

    Row i is a pure function of ``seeds[i]``, the number of the view, the recipe and the size of
    image i (``height`` and ``width`` of all images, or (N,) of each). Views are independent.
    """
    u = counter_uniform(seeds, _DRAWS, stream=view)
    jitter = recipe.jitter or JitterRecipe(prob=0.0)
    spread = torch.tensor((jitter.brightness, jitter.contrast, jitter.saturation))
    low = torch.cat(((1 - spread).clamp_(min=0), torch.tensor([-jitter.hue])))
    high = torch.cat((1 + spread, torch.tensor([jitter.hue])))
    return ViewParams(
        box=sample_resized_crop(u[:, _CROP], height, width, recipe.scale, recipe.ratio),
        flip=u[:, _FLIP] < recipe.flip_prob,
        jitter=u[:, _JITTER] < jitter.prob,
        factors=_between(u[:, _FACTORS], low, high),
        order=u[:, _ORDER].argsort(dim=1, stable=True),
        gray=u[:, _GRAY] < recipe.gray_prob,
        blur=u[:, _BLUR] < recipe.blur_prob,
        sigma=_between(u[:, _SIGMA], *recipe.blur_sigma),
        solarize=u[:, _SOLARIZE] < recipe.solarize_prob,
    )


def _between(u: Any, low: float | Tensor, high: float | Tensor) -> Any:
    """Map [0, 1) to [low, high)."""
    return low + u * (high - low)


def _check_within(kind: str, recipe: object, high: float, *names: str) -> None:
    for name in names:
        if not 0 <= (value := getattr(recipe, name)) <= high:
            raise ValueError(f'{kind} {name} must lie in [0, {high}], got {value}')
