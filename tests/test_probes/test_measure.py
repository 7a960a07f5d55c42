# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One measure behind hook and tools: figures, number of classes, splits."""

import torch

from nasiam_mm.probes.feature_sets import FeatureSet, count_classes, measure
from nasiam_mm.probes.section import Probe
from nasiam_mm.registry import MODELS
from tests.test_engine.toy_siamese import Blobs, loader_cfg, model_cfg


def test_each_split_has_its_images_and_its_name():
    model = MODELS.build(model_cfg())
    probe = Probe(
        bank=loader_cfg(size=40, seed=0),
        query=loader_cfg(size=21, seed=1, split='train'),
        test=loader_cfg(size=40, seed=0, split='test'),
        k=1,
    )
    val = measure(model, probe, 'val', seed=0)
    assert set(val) == {'knn/val_top1', 'knn/val_top5'}
    # The test images are the bank's: each is its own neighbour.
    assert measure(model, probe, 'test', seed=0)['knn/test_top1'] == 100
    assert measure(model, probe.build('val', 0), 'val') == val


def test_the_number_of_classes_is_what_is_named_or_seen():
    labels = FeatureSet(torch.zeros(3, 2), torch.tensor([0, 4, 1]))
    named = Blobs(3)
    named.metainfo = {'classes': ('a',) * 9}
    assert count_classes([Blobs(3), Blobs(3)], [labels]) == 5
    assert count_classes([named, Blobs(3)], [labels]) == 9
