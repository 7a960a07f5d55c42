# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a finished backbone makes of images that nothing was chosen by: counted once, kept whole."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from nasiam_mm.evaluation.knn import knn_ranks
from nasiam_mm.files.regular import read_json
from nasiam_mm.probes.extract import extract_features
from nasiam_mm.probes.feature_sets import count_classes
from nasiam_mm.probes.section import Probe

FINAL = 'final.json'  # in the work directory
_NUMBERS = ('top1', 'images', 'k', 'temperature', 'epoch')


def measure_final(
    model: nn.Module, probe: Probe, epoch: int, cfg: Mapping[str, Any] = {}
) -> dict[str, Any]:
    """Classify the images of ``probe.final`` by their neighbours in the bank; data for JSON.

    ``top1`` is in percent; ``correct`` tells of each image, in the order of the data set, whether
    it was named right: eight to a byte, the first in the highest bit, written in hexadecimal. The
    features of bank and images are extracted anew; of several processes all have to call it.
    """
    loaders: list[Any] = [probe.bank, probe.final]
    bank, images = (extract_features(model, loader, cfg) for loader in loaders)
    num_classes = count_classes([loader.dataset for loader in loaders], [bank, images])
    blocks = dict(chunk_size=probe.chunk_size, bank_block=probe.bank_block)
    given = (*images, *bank, num_classes, probe.k, probe.temperature)
    correct = (knn_ranks(*given, **blocks) == 0).cpu().numpy()
    return {
        'top1': 100 * float(correct.mean()),
        'images': len(correct),
        'k': probe.k,
        'temperature': probe.temperature,
        'epoch': epoch,
        'correct': np.packbits(correct).tobytes().hex(),
    }


def read_final(path: str | Path) -> dict[str, Any]:
    """Read what :func:`measure_final` found, ``correct`` as an array of bool, (images,).

    Raises:
        FileNotFoundError: If there is no such file; a run writes it after its last epoch.
        ValueError: If it is not such a file, or does not agree with itself.
    """
    try:
        found = read_json(path)
        numbers = {name: found[name] for name in _NUMBERS}
        packed = np.frombuffer(bytes.fromhex(found['correct']), np.uint8)
        if not 8 * len(packed) - 8 < (count := numbers['images']) <= 8 * len(packed):
            raise ValueError(f'{len(packed)} bytes are not of {count} images')
        correct = np.unpackbits(packed, count=count).astype(bool)
        if not math.isclose(100 * correct.mean(), numbers['top1'], abs_tol=1e-9):
            raise ValueError(f'{100 * correct.mean():.4f} % are right, and top1 is another')
    except (ValueError, TypeError, KeyError) as error:
        told = ' '.join(f'{type(error).__name__}: {error}'.split())
        raise ValueError(f'{path}: no result of probe.final: {told}; train anew') from error
    return {**numbers, 'correct': correct}
