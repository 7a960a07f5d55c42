# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The crops of all views of an image, from one decoding that is as small as they allow.

What is left of a view (flip, colour, blur) needs no file and is made for the
whole batch on the model's device, by ``TwoViewPreprocessor``.
"""

import io
import struct
from collections.abc import Sequence

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmengine import fileio
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from nasiam_mm.registry import TRANSFORMS
from nasiam_mm.views.view_params import sample_crop_boxes, view_recipes

_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
Box = tuple[int, int, int, int]


@TRANSFORMS.register_module()
class DecodeCrops(BaseTransform):
    """Read an image file and cut the resized crop of each of its views.

    The boxes are those that ``TwoViewPreprocessor`` would sample for the whole
    image. A JPEG is decoded at 1/2, 1/4 or 1/8 of its size (by libjpeg, which
    then computes fewer samples of each block) where every box still has at
    least the size of the output. At full size a crop is within one uint8 step
    of the antialiased bilinear crop of the decoded image. The pixels are those
    of ``LoadImageFromFile``, its turning by EXIF included, in RGB.

    **Required Keys:** ``img_path``, or ``img`` (uint8 (H, W, 3), RGB) of an array;
    ``view_seed``, as ``ReplayDataset`` gives it to its own pipeline.

    **Modified Keys:** ``img``, a uint8 tensor (V, 3, S, S); ``ori_shape`` (H, W)
    of the file; ``img_shape`` (S, S).

    Args:
        views (dict | Sequence[dict] | None): Fields of ``ViewRecipe``, one dict
            for all views or one per view, equal to those of the preprocessor.
        num_views (int): Views per image, V. Defaults to 2.
        backend_args (dict | None): Of mmengine's file backend. Defaults to None.

    Raises:
        ValueError: For recipes that are not valid or differ in size, a sample
            without ``view_seed``, or a file that is no readable image.
    """

    def __init__(
        self,
        views: dict | Sequence[dict] | None = None,
        num_views: int = 2,
        backend_args: dict | None = None,
    ) -> None:
        self.recipes = view_recipes(views, num_views)
        sizes = {recipe.size for recipe in self.recipes}
        if len(sizes) > 1:
            raise ValueError(f'DecodeCrops stacks views of one size, got {sorted(sizes)}')
        self.size = sizes.pop()
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Put the crops of the sample's file into ``img``."""
        if 'view_seed' not in results:
            raise ValueError(
                "DecodeCrops needs 'view_seed': put it into the pipeline of ReplayDataset, "
                'not into that of the dataset inside'
            )
        seed = results['view_seed']
        if 'img' in results:
            factor, image = 1, results['img'][..., ::-1].copy()
            shape = image.shape[:2]
            boxes = sample_crop_boxes(seed, self.recipes, *shape)
        else:
            factor, image, shape, boxes = self._from_file(results['img_path'], seed)
        crops = torch.empty(len(boxes), 3, self.size, self.size, dtype=torch.uint8)
        for crop, box in zip(crops, boxes, strict=True):
            blue, green, red = resized_box(image, box, factor, self.size)
            torch.stack((red, green, blue), out=crop)
        results['img'] = crops
        results['ori_shape'] = shape
        results['img_shape'] = (self.size, self.size)
        return results

    def _from_file(
        self, path: str, seed: int
    ) -> tuple[int, np.ndarray, tuple[int, int], list[Box]]:
        """Return by how much a file was decoded smaller, its pixels, whole size and boxes."""
        data = fileio.get(path, backend_args=self.backend_args)
        shape = jpeg_shape(data)
        if shape is not None:
            boxes = sample_crop_boxes(seed, self.recipes, *shape)
            factor = reduction(boxes, self.size)
            image = _decode(data, factor, path)
            if image.shape[:2] == tuple(-(-side // factor) for side in shape):
                return factor, image, shape, boxes
        # The size is known from the pixels only.
        image = _decode(data, 1, path)
        return 1, image, image.shape[:2], sample_crop_boxes(seed, self.recipes, *image.shape[:2])

    def __repr__(self) -> str:
        return f'{type(self).__name__}(recipes={self.recipes})'


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Read an image file in the order of OpenCV, BGR; an array's image is put into it.

    Args:
        **kwargs: See :class:`mmcv.transforms.LoadImageFromFile`.
    """

    def transform(self, results: dict) -> dict | None:
        """Put the image into ``img``."""
        if 'img' not in results:
            return super().transform(results)
        image = np.ascontiguousarray(results['img'][..., ::-1])
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results


def jpeg_shape(data: bytes) -> tuple[int, int] | None:
    """Height and width from the header; None for no JPEG, or one that EXIF turns."""
    exif = Image.Exif()
    try:
        with Image.open(io.BytesIO(data), formats=('JPEG',)) as image:
            width, height = image.size
            exif.load(image.info.get('exif'))
        turned = exif.get(ExifTags.Base.Orientation, 1) != 1
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error):
        return None
    return None if turned else (height, width)


def reduction(boxes: Sequence[Box], size: int) -> int:
    """Largest of 1, 2, 4, 8 by which every box can shrink and not fall below ``size``."""
    side = min(min(height, width) for _, _, height, width in boxes)
    return max(factor for factor in _FLAGS if factor == 1 or side >= factor * size)


def resized_box(image: np.ndarray, box: Box, factor: int, size: int) -> Tensor:
    """Crop a box and resize it to a square, antialiased bilinear.

    Args:
        image (np.ndarray): (ceil(H / factor), ceil(W / factor), 3) uint8.
        box (tuple): Top, left, height, width in pixels of the (H, W) image.
        factor (int): By how much the image is smaller.
        size (int): Side S of the output.

    Returns:
        Tensor: (3, S, S) uint8.
    """
    top, left, height, width = box
    if factor == 1:
        cut = torch.from_numpy(image[top : top + height, left : left + width]).permute(2, 0, 1)
        # Two to three times as fast as Pillow's, which it equals to one step.
        return F.interpolate(cut[None], (size, size), mode='bilinear', antialias=True)[0]
    # The box ends between pixels: Pillow resizes such boxes exactly. Cut to whole pixels first,
    # or it would look further outside.
    row, column = top // factor, left // factor
    cut = image[row : -(-(top + height) // factor), column : -(-(left + width) // factor)]
    x, y = left / factor - column, top / factor - row
    edges = (x, y, x + width / factor, y + height / factor)
    resized = Image.fromarray(cut).resize((size, size), Image.Resampling.BILINEAR, box=edges)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1)


def _decode(data: bytes, factor: int, path: str) -> np.ndarray:
    """Decode to (H, W, 3) uint8 in BGR, turned as EXIF says."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[factor]) if data else None
    if image is None:
        raise ValueError(f'DecodeCrops: {path} is no image that OpenCV reads; replace the file')
    return image
