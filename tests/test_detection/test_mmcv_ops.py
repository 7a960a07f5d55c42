# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The torchvision adapter against recorded outputs of the compiled mmcv ops.

1. nms, RoIAlign and its gradient equal the recorded bits.
2. nms equals an independent loop, at equality with the threshold too.
3. mmcv's own wrappers (score threshold, max_num, batched_nms) work on top.
4. Empty inputs, malformed regions and absent ops behave as documented.
5. install() is idempotent, shadows nothing and mends stubs of an earlier import.
"""

import importlib
import subprocess
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import mmcv
import numpy as np
import pytest
import torch

import nasiam_mm.detection  # noqa: F401  installs the adapter
from nasiam_mm.detection import mmcv_ops

from mmcv import ops  # isort: skip  after the adapter

ROOT = Path(__file__).parents[2]
RECORDED = np.load(ROOT / 'tests' / 'data' / 'mmcv_ops.npz')


def recorded(name: str) -> torch.Tensor:
    return torch.from_numpy(RECORDED[name])


def roi_case(case: int) -> tuple[torch.Tensor, torch.Tensor, tuple]:
    height, width, scale, ratio, aligned = RECORDED[f'roi{case}_size_scale_ratio_aligned'].tolist()
    settings = ((int(height), int(width)), scale, int(ratio), 'avg', bool(aligned))
    return recorded(f'roi{case}_input'), recorded(f'roi{case}_rois'), settings


def reference_nms(boxes: np.ndarray, scores: np.ndarray, threshold: float, offset: int) -> list:
    """Greedy suppression in float32, written from its definition."""
    one, limit = np.float32(offset), np.float32(threshold)
    order, kept = list(np.argsort(-scores, kind='stable')), []
    while order:
        best = order.pop(0)
        kept.append(best)
        survivors = []
        for other in order:
            low = np.maximum(boxes[best, :2], boxes[other, :2])
            high = np.minimum(boxes[best, 2:], boxes[other, 2:])
            inter = np.prod(np.maximum(high - low + one, np.float32(0)))
            areas = [np.prod(boxes[i, 2:] - boxes[i, :2] + one) for i in (best, other)]
            if inter / (areas[0] + areas[1] - inter) <= limit:
                survivors.append(other)
        order = survivors
    return kept


@pytest.mark.parametrize('case', range(4))
def test_nms_equals_recorded_compiled_op(case):
    threshold, offset = RECORDED[f'nms{case}_iou_offset'].tolist()
    dets, inds = ops.nms(
        recorded(f'nms{case}_boxes'), recorded(f'nms{case}_scores'), threshold, int(offset)
    )
    assert torch.equal(inds, recorded(f'nms{case}_out_inds'))
    assert torch.equal(dets, recorded(f'nms{case}_out_dets'))


@pytest.mark.parametrize('case', range(4))
def test_roi_align_equals_recorded_compiled_op(case):
    features, rois, settings = roi_case(case)
    features.requires_grad_()
    out = ops.roi_align(features, rois, *settings)
    out.backward(recorded(f'roi{case}_grad_out'))
    assert torch.equal(out, recorded(f'roi{case}_out'))
    assert torch.equal(features.grad, recorded(f'roi{case}_grad_in'))


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('threshold', [0.1, 0.3, 0.5, 0.7])
def test_nms_equals_definition(threshold, offset):
    # Integer corners make ties with the threshold likely: 1/10, 3/10, 1/2, 7/10.
    generator = np.random.default_rng(int(threshold * 10) + offset)
    corners = generator.integers(0, 12, (150, 4)).astype(np.float32)
    boxes = np.concatenate(
        [
            np.minimum(corners[:, :2], corners[:, 2:]),
            np.maximum(corners[:, :2], corners[:, 2:]) + 1,
        ],
        axis=1,
    )
    scores = generator.permutation(150).astype(np.float32)
    _, inds = ops.nms(torch.from_numpy(boxes), torch.from_numpy(scores), threshold, offset)
    assert inds.tolist() == reference_nms(boxes, scores, threshold, offset)


def test_nms_keeps_a_box_at_exactly_the_threshold():
    # IoU = 3 / 10 = float32(0.3) > 0.3 in float64: only float32 comparison keeps both, as C++ does.
    boxes = torch.tensor([[0.0, 0.0, 10.0, 1.0], [0.0, 0.0, 3.0, 1.0]])
    _, inds = ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.3)
    assert inds.tolist() == [0, 1]


def test_nms_score_threshold_and_max_num():
    boxes = torch.tensor([[0.0, 0, 4, 4], [9.0, 9, 12, 12], [0.0, 0, 4, 4.1], [20.0, 0, 24, 4]])
    scores = torch.tensor([0.3, 0.04, 0.9, 0.6])
    _, inds = ops.nms(boxes, scores, 0.5, score_threshold=0.05)
    assert inds.tolist() == [2, 3]
    _, inds = ops.nms(boxes, scores, 0.5, max_num=1)
    assert inds.tolist() == [2]


def test_batched_nms_never_suppresses_across_classes():
    boxes = torch.tensor([[0.0, 0, 4, 4], [0.0, 0, 4, 4], [0.0, 0, 4, 4]])
    scores = torch.tensor([0.7, 0.9, 0.8])
    labels = torch.tensor([0, 0, 3])
    dets, inds = ops.batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.5))
    assert inds.tolist() == [1, 2]
    assert torch.equal(dets, torch.cat([boxes[inds], scores[inds, None]], dim=1))
    _, inds = ops.batched_nms(
        boxes, scores, labels, dict(type='nms', iou_threshold=0.5), class_agnostic=True
    )
    assert inds.tolist() == [1]


def test_empty_boxes_and_regions():
    dets, inds = ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5)
    assert inds.shape == (0,)
    assert inds.dtype == torch.int64
    features = torch.rand(1, 3, 8, 8, requires_grad=True)
    out = ops.roi_align(features, torch.zeros(0, 5), 7, 1.0, 0, 'avg', True)
    assert out.shape == (0, 3, 7, 7)
    out.sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 2])
def test_roi_align_gradient_is_the_adjoint(ratio, aligned):
    # RoIAlign is linear in the features: <A x, g> = <x, A^T g> for every x and g.
    features = torch.rand(2, 3, 9, 11, dtype=torch.float64, requires_grad=True)
    rois = torch.tensor([[0, 1.0, 2, 17, 13], [1, 0.0, 0, 40, 30], [1, 5.0, 5, 5, 5]]).double()
    out = ops.roi_align(features, rois, (4, 5), 0.5, ratio, 'avg', aligned)
    grad_out = torch.rand_like(out)
    out.backward(grad_out)
    torch.testing.assert_close((out * grad_out).sum(), (features * features.grad).sum())


def test_roi_align_of_a_constant_map_is_that_constant():
    rois = torch.tensor([[0, 2.0, 2, 10, 12]])
    out = ops.roi_align(torch.full((1, 2, 16, 16), 3.5), rois, 7, 1.0, 2, 'avg', True)
    torch.testing.assert_close(out, torch.full((1, 2, 7, 7), 3.5))


def test_mixed_precision_regions_follow_the_features():
    features, rois, settings = roi_case(0)
    out = ops.roi_align(features.double(), rois, *settings)
    torch.testing.assert_close(out.float(), recorded('roi0_out'))


def test_other_ops_name_themselves_and_the_mend():
    with pytest.raises(NotImplementedError, match=r"mmcv op 'softnms'.*--no-build-isolation"):
        ops.soft_nms(torch.rand(3, 4), torch.rand(3))
    with pytest.raises(NotImplementedError, match=r"pool_mode='max'.*pool_mode='avg'"):
        ops.roi_align(torch.rand(1, 1, 4, 4), torch.zeros(1, 5), 2, 1.0, 0, 'max', True)


def test_malformed_region_is_refused_as_by_the_compiled_op():
    with pytest.raises(ValueError, match='x2 < x1'):
        ops.roi_align(torch.rand(1, 1, 4, 4), torch.tensor([[0, 3.0, 0, 1, 2]]), 2)


def test_install_again_changes_nothing():
    before = sys.modules['mmcv._ext']
    assert mmcv_ops.install()
    assert sys.modules['mmcv._ext'] is before
    assert mmcv_ops.is_installed()


def test_install_leaves_loaded_compiled_ops_alone(monkeypatch):
    compiled = ModuleType('mmcv._ext')
    compiled.__spec__ = ModuleSpec('mmcv._ext', loader=None)
    monkeypatch.setitem(sys.modules, 'mmcv._ext', compiled)
    assert not mmcv_ops.install()
    assert sys.modules['mmcv._ext'] is compiled


def test_install_leaves_compiled_ops_on_disk_alone(monkeypatch, tmp_path):
    (tmp_path / '_ext.py').write_text('nms = "compiled"\n')
    monkeypatch.setattr(mmcv, '__path__', [*mmcv.__path__, str(tmp_path)])
    monkeypatch.setattr(mmcv, '_ext', mmcv._ext)
    monkeypatch.delitem(sys.modules, 'mmcv._ext')
    assert not mmcv_ops.install()
    assert importlib.import_module('mmcv._ext').nms == 'compiled'


def test_install_mends_what_an_earlier_import_left_broken():
    """Mmpretrain imports mmdet's heads on its own; without ops they keep raising stubs."""
    code = (
        'import mmpretrain.models as m, sys\n'
        'rpn = sys.modules["mmdet.models.dense_heads.rpn_head"]\n'
        'assert rpn.batched_nms.__module__ == rpn.__name__\n'
        'assert m.utils.ResLayerExtraNorm is None\n'
        'import nasiam_mm.detection, mmcv.ops\n'
        'from mmdet.registry import MODELS\n'
        'assert rpn.batched_nms is mmcv.ops.batched_nms\n'
        'assert MODELS.get("ResLayerExtraNorm") is m.utils.ResLayerExtraNorm\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
