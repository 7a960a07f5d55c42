# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is known of published sets beforehand."""

from collections.abc import Sequence

from nasiam_mm.console.alarms import quiet_imports
from nasiam_mm.datasets.source import Source

quiet_imports()
from mmpretrain.datasets import CIFAR10, CIFAR100  # noqa: E402
from mmpretrain.datasets.categories import IMAGENET_CATEGORIES  # noqa: E402

OFFICIAL = {'CIFAR10': CIFAR10, 'CIFAR100': CIFAR100}  # mmpretrain's readers of the pickles


def _cifar(name: str, mean: Sequence[float], std: Sequence[float], **digests: str) -> Source:
    classes, parts = OFFICIAL[name].METAINFO['classes'], {'train': 50000, 'test': 10000}
    return Source(name, 'official', classes, mean, std, 32, parts, digests=digests)


# What is known of published sets. The digests are over the arrays in official order; they are the
# same whichever archive they are from. None are published for CIFAR-100: the md5 of its archive is.
KNOWN = {
    'CIFAR10': _cifar(
        'CIFAR10',
        (125.307, 122.950, 113.865),
        (62.993, 62.089, 66.705),
        train_images='47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a',
        train_labels='2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253',
        test_images='f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04',
        test_labels='cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5',
    ),
    'CIFAR100': _cifar('CIFAR100', (129.304, 124.070, 112.434), (68.170, 65.392, 70.418)),
    # The customary mean and deviation; its own test images have no labels.
    'ImageNet': Source(
        name='ImageNet',
        source='official',
        classes=IMAGENET_CATEGORIES,
        mean=(123.675, 116.28, 103.53),
        std=(58.395, 57.12, 57.375),
        size=224,
        parts={'train': 1281167, 'test': 50000},
        stored={'test': 'val'},
    ),
}
