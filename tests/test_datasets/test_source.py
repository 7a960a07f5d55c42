# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import hashlib
import json
import math
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from nasiam_mm.datasets import source
from nasiam_mm.datasets.known import KNOWN, OFFICIAL
from nasiam_mm.datasets.source import Source, file_digest, load_array, read_source, sha256_array
from tests.test_datasets.fake_cifar import ARRAYS, MINI


@pytest.mark.parametrize('dtype', [np.uint8, np.int64, np.float32])
def test_sha256_is_over_the_bytes_in_c_order(dtype):
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    expected = hashlib.sha256(array.tobytes()).hexdigest()
    assert sha256_array(array) == expected
    assert sha256_array(np.asfortranarray(array)) == expected
    assert sha256_array(array.transpose(2, 1, 0)) != expected


def test_a_mapped_file_is_hashed_again_only_when_it_changed(tmp_path, monkeypatch):
    hashed = []
    monkeypatch.setattr(source, '_DIGESTS', {})
    monkeypatch.setattr(source, 'sha256_array', lambda of: hashed.append(1) or sha256_array(of))
    path = tmp_path / 'train_labels.npy'
    for number, rows in enumerate(([1, 2], [1, 3]), 1):
        np.save(path, np.array(rows))
        os.utime(path, ns=(number, number))
        for _ in range(3):
            assert file_digest(load_array(path)) == sha256_array(np.array(rows))
        assert len(hashed) == number
    assert file_digest(np.array([1, 3])) == file_digest(load_array(path))
    assert file_digest(load_array(path)[1:]) == sha256_array(np.array([3]))


FIELDS = dict(
    name='a', source='own', classes=['x'], mean=[1, 2, 3], std=[1, 2, 3], size=8,
    parts={'train': 9}, stored={}, digests={'train_images': '0'},
)  # fmt: skip


def test_record_round_trip(tmp_path):
    assert Source.read(tmp_path) is None
    record = Source(**FIELDS)
    record.write(tmp_path)
    assert Source.read(tmp_path) == record
    first = (tmp_path / 'source.json').read_bytes()
    record.write(tmp_path)
    assert (tmp_path / 'source.json').read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ['source.json']


def test_record_of_the_first_form_is_completed(tmp_path):
    record = json.loads((MINI / 'source.json').read_text())
    first = {'dataset': 'CIFAR10', 'source': 'subset', 'digests': record['digests']}
    folder = Path(shutil.copytree(MINI, tmp_path / 'mini'))
    (folder / 'source.json').write_text(json.dumps(first))
    assert asdict(Source.read(folder)) == asdict(Source.read(MINI)) | {
        'classes': KNOWN['CIFAR10'].classes, 'mean': (125.307, 122.95, 113.865),
        'std': (62.993, 62.089, 66.705),
    }  # fmt: skip


@pytest.mark.parametrize(
    ('change', 'reason'),
    [
        ({'x': 1}, "argument 'x'"),
        ({'name': 1}, 'name must not be 1'),
        ({'source': 'web'}, 'source must be one of'),
        ({'classes': 10}, 'classes must not be'),
        ({'classes': [1]}, 'must hold texts'),
        ({'mean': [1, 2]}, 'mean and std'),
        ({'mean': ['1', 2, 3]}, 'mean and std'),
        ({'std': [1, 0, 1]}, 'mean and std'),
        ({'mean': [1, math.nan, 3]}, 'mean and std'),
        ({'std': [1, 10**400, 3]}, 'mean and std'),
        ({'size': 0}, 'size must be'),
        ({'size': 10**9}, 'size must be from 1 to 4096'),
        ({'x' * 1000: 1}, 'unexpected keyword'),
        ({'size': 2.5}, 'size must not'),
        ({'parts': {}}, 'parts must'),
        ({'parts': {'train': '9'}}, 'parts must'),
        ({'parts': [1]}, 'parts must not'),
        ({'stored': {'test': 1}}, 'must hold texts'),
        ({'digests': None}, 'digests must not be None'),
    ],
)
def test_malformed_record(tmp_path, change, reason):
    (tmp_path / 'source.json').write_text(json.dumps({**FIELDS, **change}))
    _refused(tmp_path, reason)


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', 'Expecting value'),
        ('[]', 'must be a mapping'),
        ('{}', 'missing 7 required'),
        ('[' * 100_000, 'nested too deeply'),
        (' ' * (2**24 + 1), 'more than 16777216 bytes'),
    ],
)
def test_text_that_is_no_record(tmp_path, text, reason):
    (tmp_path / 'source.json').write_text(text)
    _refused(tmp_path, reason)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'source.json')
    _refused(tmp_path, 'no file')


def _refused(folder, reason):
    with pytest.raises(ValueError) as info:
        Source.read(folder)
    message = str(info.value)
    assert message.startswith(f'{folder}/source.json: not a valid source record: ')
    assert reason in message and '\n' not in message and len(message) <= 500


@pytest.mark.parametrize(
    ('inside', 'name'),
    [
        (OFFICIAL['CIFAR10'].base_folder, 'CIFAR10'),
        (OFFICIAL['CIFAR100'].base_folder, 'CIFAR100'),
        ('train/n01440764', 'ImageNet'),
    ],
)
def test_published_sets_are_recognised(tmp_path, inside, name):
    with pytest.raises(FileNotFoundError, match=f'{tmp_path}: has no source.json.*describe'):
        read_source(tmp_path)
    (tmp_path / inside).mkdir(parents=True)
    assert read_source(tmp_path) is KNOWN[name]
    with pytest.raises(FileNotFoundError, match='x: no such folder'):
        read_source(tmp_path / 'x')


def test_known_facts_are_mmpretrains():
    assert len(KNOWN['CIFAR100'].classes) == 100 and len(KNOWN['ImageNet'].classes) == 1000
    assert KNOWN['ImageNet'].place('test') == 'val' and KNOWN['CIFAR10'].place('test') == 'test'


@pytest.mark.parametrize('old', [b')', b'descr', b'|u1', b'NUMPY', b'500'])
def test_any_damaged_header_is_told_in_one_line(tmp_path, old):
    path = tmp_path / 'train_labels.npy'
    np.save(path, ARRAYS['train_labels'])
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, b'(' * len(old), 1))
    with pytest.raises(ValueError, match=r'^\S+train_labels.npy: truncated or not a .npy file$'):
        load_array(path)


@pytest.mark.parametrize('make', [os.mkfifo, lambda path: path.write_text('[' * 100_000)])
@pytest.mark.parametrize(
    ('name', 'read'),
    [('source.json', Source.read), ('a.npy', lambda root: load_array(root / 'a.npy'))],
)
def test_a_pipe_is_not_waited_for_and_no_nesting_is_followed(make, name, read, tmp_path):
    make(tmp_path / name)
    with pytest.raises(ValueError, match='not a valid source record|not a .npy file'):
        read(tmp_path)


def test_an_array_that_may_not_be_read_is_not_called_damaged(tmp_path, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(13, 'Permission denied', str(args[0]))

    monkeypatch.setattr('numpy.load', denied)
    with pytest.raises(PermissionError, match='Permission denied'):
        load_array(tmp_path / 'train_images.npy')
