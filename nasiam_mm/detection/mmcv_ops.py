# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The compiled mmcv ops that R-CNN detectors call, written on ``torchvision.ops``.

Plain wheels of mmcv carry no ``mmcv._ext``, and ``mmdet.models`` does not
import without it. :func:`install` puts a module of that name into
``sys.modules`` whose ``nms``, ``roi_align_forward`` and ``roi_align_backward``
keep the calling conventions of mmcv's C++ (``mmcv/ops/csrc/pytorch``) and, on
CPU, return the same bits. Every other op raises one line when it is called.
"""

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

import numpy as np
import torch
import torchvision.ops
from torch import Tensor

EXT_NAME = 'mmcv._ext'
PROVIDED = ('nms', 'roi_align_forward', 'roi_align_backward')
MEND = (
    'use a detector that needs no other op (Mask R-CNN, Faster R-CNN), or build the compiled '
    'ops: pip install --no-build-isolation --force-reinstall --no-deps onedl-mmcv'
)
_AVG_POOL = 1  # mmcv's code of pool_mode='avg'; 0 is 'max'


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int = 0) -> Tensor:
    """Greedy non-maximum suppression, as ``mmcv._ext.nms``.

    Args:
        boxes: (N, 4) corners x1, y1, x2, y2 in pixels.
        scores: (N,).
        iou_threshold: A box that overlaps a kept one by more is dropped.
        offset: 0, or 1 where a width is ``x2 - x1 + 1`` (legacy pixel boxes).

    Returns:
        (M,) int64 indices of the kept boxes, by descending score.
    """
    boxes, scores = boxes.float(), scores.float()
    if offset:
        boxes = boxes + boxes.new_tensor([0, 0, offset, offset])
    # mmcv's C++ takes the threshold as float32; at equality the rounding decides.
    return torchvision.ops.nms(boxes, scores, float(np.float32(iou_threshold)))


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """RoIAlign into ``output``, as ``mmcv._ext.roi_align_forward``.

    Only max pooling, which is not provided, fills ``argmax_y`` and ``argmax_x``.

    Args:
        input: (N, C, H, W) feature map.
        rois: (R, 5) rows of batch index, x1, y1, x2, y2 in image pixels.
        output: (R, C, aligned_height, aligned_width), written in place.
        spatial_scale: Feature pixels in one image pixel.
        sampling_ratio: Samples per bin and axis; 0 adapts to the region.
        pool_mode: 1 for the average; 0, the maximum, is not provided.
        aligned: Whether pixel centres lie at half integers.

    Raises:
        NotImplementedError: If ``pool_mode`` asks for the maximum.
        ValueError: If a region has a negative size (CPU and ``aligned``, as mmcv).
    """
    _check_average(pool_mode)
    # The compiled CPU op checks this too; on a GPU neither does, it would synchronise.
    if aligned and rois.device.type == 'cpu' and (rois[:, 3:] < rois[:, 1:3]).any():
        raise ValueError('roi_align: a region has x2 < x1 or y2 < y1; sort its corners')
    size = aligned_height, aligned_width
    rois = rois.to(input.dtype)
    pooled = torchvision.ops.roi_align(input, rois, size, spatial_scale, sampling_ratio, aligned)
    output.copy_(pooled)


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Gradient of RoIAlign added to ``grad_input``, as ``mmcv._ext.roi_align_backward``.

    Args:
        grad_output: (R, C, aligned_height, aligned_width).
        grad_input: (N, C, H, W), added to in place. All else as in :func:`roi_align_forward`.

    Raises:
        NotImplementedError: If ``pool_mode`` asks for the maximum.
    """
    _check_average(pool_mode)
    # The op behind the gradient of torchvision.ops.roi_align; no second forward is needed.
    grad_input += torch.ops.torchvision._roi_align_backward(
        grad_output,
        rois.to(grad_output.dtype),
        spatial_scale,
        aligned_height,
        aligned_width,
        *grad_input.shape,
        sampling_ratio,
        aligned,
    )


def install() -> bool:
    """Stand in for ``mmcv._ext`` where mmcv was installed without compiled ops.

    Calling it again changes nothing. Compiled ops are never shadowed. Modules
    of mmdet and mmpretrain that were imported before, and so hold mmcv-less
    stubs, are mended.

    Returns:
        Whether the adapter is in use; False where compiled ops exist.
    """
    if not is_installed():
        if importlib.util.find_spec(EXT_NAME) is not None:
            return False
        adapter = _AdapterModule(EXT_NAME, __doc__)
        # find_spec reads __spec__ of a loaded module, as mmengine does to look for the ops.
        adapter.__spec__ = ModuleSpec(EXT_NAME, loader=None, origin=__file__)
        sys.modules[EXT_NAME] = adapter
        vars(sys.modules['mmcv'])['_ext'] = adapter
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
            raise NotImplementedError(
                f"mmcv op '{name}' is compiled code and this mmcv has none; the adapter on "
                f'torchvision provides {", ".join(PROVIDED)}. {MEND}'
            )

        missing.__name__ = name
        return missing


def _check_average(pool_mode: int) -> None:
    if pool_mode != _AVG_POOL:
        raise NotImplementedError(
            "mmcv op 'roi_align' with pool_mode='max' is not provided by the adapter on "
            f"torchvision; set pool_mode='avg', or {MEND}"
        )


def _mend_stubs() -> None:
    """Replace what mmdet and mmpretrain defined when their import of ``mmcv.ops`` failed."""
    for name, module in list(sys.modules.items()):
        for op in ('nms', 'batched_nms', 'roi_align') if name.startswith('mmdet.') else ():
            if getattr(vars(module).get(op), '__module__', None) == name:
                setattr(module, op, getattr(importlib.import_module('mmcv.ops'), op))
    extra_norm = sys.modules.get('mmpretrain.models.utils.res_layer_extra_norm')
    if extra_norm is not None and extra_norm.ResLayerExtraNorm is None:
        importlib.reload(extra_norm)
        utils = vars(sys.modules['mmpretrain.models.utils'])
        utils['ResLayerExtraNorm'] = extra_norm.ResLayerExtraNorm
