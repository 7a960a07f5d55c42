# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A tiny detection set and a tiny pretraining checkpoint."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


def pytest_pycollect_makemodule() -> None:
    """Install the adapter before a module imports mmdet."""
    import nasiam_mm.detection  # noqa: F401


@pytest.fixture
def cifar_checkpoint(tmp_path: Path) -> Path:
    """A CIFAR ResNet-18 of width 4."""
    from tests.test_detection.toy_detection import write_checkpoint

    return write_checkpoint(
        tmp_path / 'pretrained.pth',
        type='ResNet_CIFAR',
        depth=18,
        stem_channels=4,
        base_channels=4,
    )


@pytest.fixture(scope='session')
def make_set() -> ModuleType:
    from tests.test_detection.toy_detection import load_tool

    return load_tool('dataset_converters/make_cifar10_detection')


@pytest.fixture
def tiny_set(tmp_path: Path, make_set: ModuleType) -> Path:
    """Four training and two validation images of 64 x 64."""
    from tests.test_detection.toy_detection import MINI

    out = tmp_path / 'set'
    make_set.make_detection_set(MINI, out, make_set.DetectionSet(4, 2, 64, (1, 2), (16, 32)))
    return out


@pytest.fixture
def no_change() -> Callable[[Path], Callable[[], None]]:
    """Remember a folder; the returned call requires that nothing in it changed."""

    def remember(folder: Path) -> Callable[[], None]:
        def state() -> dict:
            return {
                path: path.read_bytes() if path.is_file() else None for path in folder.rglob('*')
            }

        before = state()

        def check() -> None:
            assert state() == before

        return check

    return remember
