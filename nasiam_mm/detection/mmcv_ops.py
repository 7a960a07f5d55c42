# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The compiled mmcv ops that R-CNN detectors call, written on ``torchvision.ops``.

Plain wheels of mmcv carry no ``mmcv._ext``, and ``mmdet.models`` does not import without it.
:func:`install` puts a module of that name into ``sys.modules`` whose three ops take the calls of
``mmcv.ops`` and, on CPU, return the same bits as mmcv's C++ (``mmcv/ops/csrc/pytorch``).
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

import numpy as np
import torch
import torchvision.ops
from torch import Tensor

EXT_NAME = 'mmcv._ext'
BUILD = 'pip install --no-build-isolation --force-reinstall --no-deps onedl-mmcv'


class _Pooling(NamedTuple):
    """The settings of RoIAlign, in the order of both ops."""

    aligned_height: int
    aligned_width: int
    spatial_scale: float  # feature pixels in one image pixel
    sampling_ratio: int  # samples per bin and axis; 0 adapts to the region
    pool_mode: int  # 1 for the average; 0, the maximum, is not provided
    aligned: bool  # whether pixel centres lie at half integers


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Greedy non-maximum suppression: (M,) int64 indices of the kept boxes, by descending score.

    Takes (N, 4) corners x1, y1, x2, y2 in pixels and (N,) scores; a box that overlaps a kept one by
    more than the threshold is dropped. ``offset`` is 1 where a width is ``x2 - x1 + 1``.
    """
    boxes, scores = boxes.float(), scores.float()
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # mmcv's C++ takes the threshold as float32; at equality the rounding decides.
    return torchvision.ops.nms(boxes, scores, float(np.float32(iou_threshold)))


def roi_align_forward(
    input: Tensor, rois: Tensor, output: Tensor, _y: Tensor, _x: Tensor, *args: Any, **named: Any
) -> None:
    """RoIAlign of (N, C, H, W) features into ``output``, (R, C, aligned_height, aligned_width).

    ``rois`` are (R, 5) rows of batch index, x1, y1, x2, y2 in image pixels; ``_y`` and ``_x`` are
    for the maximum. ValueError if a region has a negative size (CPU and ``aligned``, as mmcv).
    """
    pooling = _average(*args, **named)
    # The compiled CPU op checks this too; on a GPU neither does, it would synchronise.
    if pooling.aligned and rois.device.type == 'cpu' and (rois[:, 3:] < rois[:, 1:3]).any():
        raise ValueError('roi_align: a region has x2 < x1 or y2 < y1; sort its corners')
    height, width, scale, ratio, _, aligned = pooling
    rois = rois.to(input.dtype)
    output.copy_(torchvision.ops.roi_align(input, rois, (height, width), scale, ratio, aligned))


def roi_align_backward(
    grad: Tensor, rois: Tensor, _y: Tensor, _x: Tensor, grad_input: Tensor, *args: Any, **named: Any
) -> None:
    """Add the gradient of RoIAlign, whose output's is ``grad``, to ``grad_input``, (N, C, H, W)."""
    height, width, scale, ratio, _, aligned = _average(*args, **named)
    # The op behind the gradient of torchvision.ops.roi_align; no second forward is needed.
    grad_input += torch.ops.torchvision._roi_align_backward(
        grad, rois.to(grad.dtype), scale, height, width, *grad_input.shape, ratio, aligned
    )


def install() -> bool:
    """Stand in for ``mmcv._ext``; return whether, False where there are compiled ops.

    Calling it again changes nothing. Modules of mmdet and mmpretrain that were imported before,
    without mmcv's ops or without mmdet, are mended.
    """
    if not is_installed():
        if importlib.util.find_spec(EXT_NAME) is not None:
            _add_extra_norm()
            return False
        adapter = _AdapterModule(EXT_NAME, __doc__)
        # find_spec reads __spec__ of a loaded module, as mmengine does to look for the ops.
        adapter.__spec__ = ModuleSpec(EXT_NAME, loader=None, origin=__file__)
        sys.modules[EXT_NAME] = vars(sys.modules['mmcv'])['_ext'] = adapter
    _mend_stubs()
    return True


def is_installed() -> bool:
    """Whether ``mmcv._ext`` is this adapter."""
    return isinstance(sys.modules.get(EXT_NAME), _AdapterModule)


class _AdapterModule(ModuleType):
    """``mmcv._ext`` with three ops; the others exist by name and raise when called."""

    nms = staticmethod(nms)
    roi_align_forward = staticmethod(roi_align_forward)
    roi_align_backward = staticmethod(roi_align_backward)

    # What mmcv's environment report asks for.
    get_compiler_version = staticmethod(lambda: 'none (nasiam_mm adapter on torchvision)')
    get_compiling_cuda_version = staticmethod(lambda: 'none')

    def __getattr__(self, name: str) -> Callable[..., NoReturn]:
        """Let ``mmcv.ops`` import: it asks for every op's name at import time."""
        if name.startswith('__'):
            raise AttributeError(name)

        def missing(*args: Any, **kwargs: Any) -> NoReturn:
            mend = f'use Mask or Faster R-CNN, or build the ops: {BUILD}'
            raise NotImplementedError(f"mmcv op '{name}' is compiled code, which is absent; {mend}")

        return missing


def _average(*args: Any, **named: Any) -> _Pooling:
    """Return the settings of a call, or NotImplementedError where they ask for the maximum."""
    pooling = _Pooling(*args, **named)
    if pooling.pool_mode != 1:
        mend = f"set pool_mode='avg', or build the ops: {BUILD}"
        raise NotImplementedError(f"mmcv op 'roi_align' has no pool_mode='max' here; {mend}")
    return pooling


def _mend_stubs() -> None:
    """Replace what mmdet defined when its import of ``mmcv.ops`` failed."""
    for name, module in list(sys.modules.items()):
        for op in ('nms', 'batched_nms', 'roi_align') if name.startswith('mmdet.') else ():
            if getattr(vars(module).get(op), '__module__', None) == name:
                setattr(module, op, getattr(importlib.import_module('mmcv.ops'), op))
    _add_extra_norm()


def _add_extra_norm() -> None:
    """Define mmpretrain's ``ResLayerExtraNorm`` where its import of mmdet failed."""
    extra_norm = sys.modules.get('mmpretrain.models.utils.res_layer_extra_norm')
    if extra_norm is not None and extra_norm.ResLayerExtraNorm is None:
        importlib.reload(extra_norm)
        utils = vars(sys.modules['mmpretrain.models.utils'])
        utils['ResLayerExtraNorm'] = extra_norm.ResLayerExtraNorm
