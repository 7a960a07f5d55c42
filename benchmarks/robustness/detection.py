# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A detector from random weights: by ``nasiam detect``, in several processes by ``train``."""

import importlib.util
from argparse import Namespace
from pathlib import Path

from benchmarks import ROOT
from benchmarks.robustness.ends import compare_json
from benchmarks.robustness.recipe import reduce_detector
from benchmarks.robustness.training import Training


class Detection(Training):
    """A Mask R-CNN on the CIFAR-10 detection set, both reduced."""

    first_words = ('detect', '--random-init')

    def __init__(self, args: Namespace, work: Path) -> None:
        self.name, self.processes = Path(args.config).stem, args.processes
        self.config, self.words = work / 'reduced.py', []
        data = work / 'set'
        if not data.exists():
            _make_set(Path(args.data_root), data)
        reduce_detector(args, data).dump(self.config)
        # Before the first fork: it takes as long as an attempt.
        import mmdet.datasets
        import mmdet.evaluation
        import mmdet.visualization  # noqa: F401

    def compare(self, whole: Path, torn: Path) -> list[str]:
        """Name what differs between two ends, the row that each wrote among it."""
        both = [folder / 'transfer.json' for folder in (whole, torn)]
        found = super().compare(whole, torn)
        # The config names the folder.
        is_there = all(path.exists() for path in both)
        return found + (compare_json(*both, 'config_sha256') if is_there else [])


def _make_set(images: Path, out: Path) -> None:
    tool = ROOT / 'tools/dataset_converters/make_cifar10_detection.py'
    spec = importlib.util.spec_from_file_location('make_cifar10_detection', tool)
    module = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(module)  # type: ignore[union-attr]
    settings = module.DetectionSet(24, 6, 64, (1, 2), (16, 32))
    module.make_detection_set(images, out, settings)
