# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Small archives in the format of the published ones, cut from the real images of cifar10_mini."""

import functools
import hashlib
import io
import json
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmpretrain.datasets import CIFAR10 as MMCIFAR10
from mmpretrain.datasets import CIFAR100 as MMCIFAR100

from nasiam_mm.datasets import prepare
from nasiam_mm.datasets.known import KNOWN
from nasiam_mm.datasets.source import ARRAY_NAMES

MINI = Path(__file__).parents[1] / 'data' / 'cifar10_mini'
ARRAYS = {name: np.load(MINI / f'{name}.npy') for name in ARRAY_NAMES}
PARTS = {part: len(ARRAYS[f'{part}_labels']) for part in ('train', 'test')}
DIGESTS = {name: hashlib.sha256(array.tobytes()).hexdigest() for name, array in ARRAYS.items()}


def _pack(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w:gz', compresslevel=1) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _batch(images: np.ndarray, labels: np.ndarray, key: str) -> bytes:
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), 3072)
    return pickle.dumps({'data': rows, key: labels.tolist()})


@functools.cache
def official_files(key: str = 'labels') -> dict[str, bytes]:
    """The pickles of CIFAR-10 (five batches) or, with the key 'fine_labels', of CIFAR-100."""
    test = _batch(ARRAYS['test_images'], ARRAYS['test_labels'], key)
    if key == 'fine_labels':
        train = _batch(ARRAYS['train_images'], ARRAYS['train_labels'], key)
        return {'train': train, 'test': test, 'meta': pickle.dumps({})}
    images = np.split(ARRAYS['train_images'], 5)
    labels = np.split(ARRAYS['train_labels'], 5)
    files = {f'data_batch_{i + 1}': _batch(images[i], labels[i], key) for i in range(5)}
    return {**files, 'test_batch': test, 'batches.meta': pickle.dumps({})}


@functools.cache
def official_archive(folder: str, key: str = 'labels') -> bytes:
    files = official_files(key)
    return _pack({f'{folder}/{name}': content for name, content in files.items()})


def _sheet(images: np.ndarray) -> bytes:
    return cv2.imencode('.png', images.reshape(len(images), 1024, 3)[..., ::-1])[1].tobytes()


@functools.cache
def npm_archive() -> bytes:
    files = {
        f'data_batch_{i + 1}.png': _sheet(images)
        for i, images in enumerate(np.split(ARRAYS['train_images'], 5))
    }
    files['test_batch.png'] = _sheet(ARRAYS['test_images'])
    files['train_lables.json'] = json.dumps(ARRAYS['train_labels'].tolist()).encode()
    files['test_lables.json'] = json.dumps(ARRAYS['test_labels'].tolist()).encode()
    return _pack({f'package/{name}': content for name, content in files.items()})


def _md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def publish(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Let the small archives be the published ones: their checksums are the expected ones."""
    archives = {'npm': npm_archive()}
    package = (prepare.NPM['CIFAR10'][0], hashlib.sha512(archives['npm']).hexdigest())
    monkeypatch.setitem(prepare.NPM, 'CIFAR10', package)
    monkeypatch.setitem(KNOWN, 'CIFAR10', replace(KNOWN['CIFAR10'], digests=DIGESTS, parts=PARTS))
    monkeypatch.setitem(KNOWN, 'CIFAR100', replace(KNOWN['CIFAR100'], parts=PARTS))
    keys = {MMCIFAR10: 'labels', MMCIFAR100: 'fine_labels'}
    for mmcifar, key in keys.items():
        files = official_files(key)
        archive = official_archive(mmcifar.base_folder, key)
        archives[mmcifar.filename] = archive
        monkeypatch.setattr(mmcifar, 'tgz_md5', _md5(archive))
        for part in ('train_list', 'test_list'):
            names = [name for name, _ in getattr(mmcifar, part)]
            monkeypatch.setattr(mmcifar, part, [[name, _md5(files[name])] for name in names])
    assert MMCIFAR10.tgz_md5 != MMCIFAR100.tgz_md5
    return archives
