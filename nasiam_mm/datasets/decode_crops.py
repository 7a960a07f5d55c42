# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The crops of all views of an image, from one decoding that is as small as they allow.

The rest of a view (flip, colour, blur) needs no file: ``TwoViewPreprocessor`` makes it by batch.
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

from nasiam_mm.datasets.headers import refuse_bomb
from nasiam_mm.registry import TRANSFORMS
from nasiam_mm.views.view_params import sample_crop_boxes, view_recipes

_FLAGS = {n: getattr(cv2, f'IMREAD_REDUCED_COLOR_{n}') for n in (2, 4, 8)} | {1: cv2.IMREAD_COLOR}
# In RGB, which libjpeg computes anyway; OpenCV takes one of the two orders.
_FLAGS = {n: flag & ~cv2.IMREAD_COLOR | cv2.IMREAD_COLOR_RGB for n, flag in _FLAGS.items()}
# Markers of a JPEG (ITU-T T.81, table B.1): frames that OpenCV decodes, the scan, and what turns
# nothing: tables, the restart interval, a comment, JFIF and Adobe.
_FRAMES, _SCAN, _PLAIN = {0xC0, 0xC1, 0xC2}, 0xDA, {0xC4, 0xDB, 0xDD, 0xFE, 0xE0, 0xEE}
Box = tuple[int, int, int, int]
Shape = tuple[int, int]


@TRANSFORMS.register_module()
class DecodeCrops(BaseTransform):
    """Read an image file and cut the resized crop of each of its views.

    The boxes are those that ``TwoViewPreprocessor`` would sample for the whole image. A JPEG is
    decoded at 1/2, 1/4 or 1/8 of its size (by libjpeg, which then computes fewer samples of each
    block) where every box still has at least the size of its output. At full size a crop is within
    one uint8 step of the antialiased bilinear crop of the decoded image. The pixels are those of
    ``LoadImageFromFile``, its turning by EXIF included, in RGB.

    Needs ``img_path``, or ``img`` (uint8 (H, W, 3), RGB) of an array, and ``view_seed``, as
    ``ReplayDataset`` gives it to its own pipeline. Gives ``img``, a uint8 tensor (V, 3, S, S), or
    of views of several sizes a list of V tensors (3, S, S); ``ori_shape`` (H, W) of the file, and
    ``img_shape`` (S, S) of the first view. ValueError for recipes that are not valid, a sample
    without ``view_seed``, or a file that is no readable image.

    ``views`` has fields of ``ViewRecipe``, for all ``num_views`` views V or for each, as for the
    preprocessor; ``backend_args`` are those of mmengine's file backend.
    """

    def __init__(
        self,
        views: dict | Sequence[dict] | None = None,
        num_views: int = 2,
        backend_args: dict | None = None,
    ) -> None:
        self.recipes = view_recipes(views, num_views)
        self.sizes = [recipe.size for recipe in self.recipes]
        self.backend_args = backend_args

    def transform(self, results: dict) -> dict:
        """Put the crops of the sample's file into ``img``."""
        if 'view_seed' not in results:
            mend = 'put it into the pipeline of ReplayDataset, not of the dataset inside'
            raise ValueError(f"DecodeCrops needs 'view_seed': {mend}")
        image, factor, shape, boxes = self._pixels(results, results['view_seed'])
        crops = self._room()
        for crop, box in zip(crops, boxes, strict=True):
            resize_box(image, box, factor, crop)
        results.update(img=crops, ori_shape=shape, img_shape=(self.sizes[0], self.sizes[0]))
        return results

    def _room(self) -> Tensor | list[Tensor]:
        """Return where the crops are written to: one tensor where they are of one size."""
        if len(set(self.sizes)) == 1:
            return torch.empty((len(self.sizes), 3, *self.sizes[:1] * 2), dtype=torch.uint8)
        return [torch.empty((3, size, size), dtype=torch.uint8) for size in self.sizes]

    def _pixels(self, results: dict, seed: int) -> tuple[np.ndarray, int, Shape, list[Box]]:
        """Return the pixels, their factor smaller than the whole, its size and the boxes."""
        if 'img' in results:
            image = np.ascontiguousarray(results['img'])
        else:
            path = results['img_path']
            data = fileio.get(path, backend_args=self.backend_args)
            if (shape := jpeg_shape(data)) is not None:
                boxes = sample_crop_boxes(seed, self.recipes, *shape)
                factor = reduction(boxes, self.sizes)
                image = _decode(data, factor, path)
                if image.shape[:2] == tuple(-(-side // factor) for side in shape):
                    return image, factor, shape, boxes
            refuse_bomb(io.BytesIO(data), path)
            image = _decode(data, 1, path)
        # The size is known from the pixels only.
        size = image.shape[0], image.shape[1]
        return image, 1, size, sample_crop_boxes(seed, self.recipes, *size)


@TRANSFORMS.register_module()
class LoadImage(LoadImageFromFile):
    """Read an image file in the order of OpenCV, BGR; an array's image is put into it."""

    def transform(self, results: dict) -> dict | None:
        """Put the image into ``img``."""
        if 'img' not in results:
            path = results['img_path']
            refuse_bomb(path, path)
            try:
                return super().transform(results)
            except (cv2.error, AssertionError, AttributeError) as error:
                raise ValueError(f'LoadImage: {path} is no image; replace the file') from error
        image = np.ascontiguousarray(results['img'][..., ::-1])
        results.update(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2])
        return results


def jpeg_shape(data: bytes) -> Shape | None:
    """Height and width from the header; None for no JPEG, or one that EXIF turns."""
    if (shape := _plain_shape(data)) is not None:
        return shape
    exif = Image.Exif()
    try:
        with Image.open(io.BytesIO(data), formats=('JPEG',)) as image:
            width, height = image.size
            exif.load(image.info.get('exif'))  # image.getexif() would hide that it is broken
        turned = exif.get(ExifTags.Base.Orientation, 1) != 1
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, struct.error):
        return None
    except Image.DecompressionBombError:
        return None
    return None if turned else (height, width)


def _plain_shape(data: bytes) -> Shape | None:
    """Height and width where the header has nothing but what every JPEG may; None for the rest.

    Pillow reads any header, and takes a tenth of what decoding does.
    """
    at, shape = 2, None
    while data[:2] == b'\xff\xd8' and at + 9 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == _SCAN:
            return shape
        if marker in _FRAMES:
            depth, height, width = struct.unpack_from('>BHH', data, at + 4)
            if depth != 8 or not 0 < height * width <= (Image.MAX_IMAGE_PIXELS or 0):
                return None
            shape = height, width
        elif marker not in _PLAIN:
            return None
        at += 2 + int.from_bytes(data[at + 2 : at + 4], 'big')
    return None


def reduction(boxes: Sequence[Box], sizes: Sequence[int]) -> int:
    """Largest of 1, 2, 4, 8 by which every box can shrink and not fall below its size."""
    pairs = zip(boxes, sizes, strict=True)
    most = min(min(height, width) // size for (_, _, height, width), size in pairs)
    return max(factor for factor in _FLAGS if factor == 1 or most >= factor)


def resize_box(image: np.ndarray, box: Box, factor: int, crop: Tensor) -> None:
    """Write a box of the (H, W) image into ``crop``, (3, S, S) uint8, antialiased bilinear.

    ``image`` is ``factor`` times smaller, (ceil(H / factor), ceil(W / factor), 3) uint8; the box
    is top, left, height and width in pixels of the whole.
    """
    top, left, height, width = box
    shape = crop.shape[1:]
    if factor == 1:
        # The axis of one image goes in front before the others change places: torch takes the cut
        # for NHWC then, and neither turns it nor its crop around, which takes as long again.
        cut = torch.from_numpy(image[top : top + height, left : left + width])[None]
        # Five times as fast as Pillow's, which it equals to one step.
        resized = F.interpolate(cut.permute(0, 3, 1, 2), shape, mode='bilinear', antialias=True)[0]
        pixels = resized.permute(1, 2, 0).numpy()
    else:
        # The box ends between pixels: Pillow resizes such boxes exactly. Cut to whole pixels
        # first, or it would look further outside.
        row, column = top // factor, left // factor
        rows = slice(row, -(-(top + height) // factor))
        columns = slice(column, -(-(left + width) // factor))
        x, y = left / factor - column, top / factor - row
        edges = (x, y, x + width / factor, y + height / factor)
        whole = Image.fromarray(image[rows, columns])
        pixels = np.array(whole.resize((*shape[::-1],), Image.Resampling.BILINEAR, box=edges))
    cv2.split(pixels, [*crop.numpy()])


def _decode(data: bytes, factor: int, path: str) -> np.ndarray:
    """Decode to (H, W, 3) uint8 in RGB, turned as EXIF says."""
    image = cv2.imdecode(np.frombuffer(data, np.uint8), _FLAGS[factor]) if data else None
    if image is None:
        raise ValueError(f'DecodeCrops: {path} is no image that OpenCV reads; replace the file')
    return image
