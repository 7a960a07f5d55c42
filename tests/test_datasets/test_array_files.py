# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import hashlib
import json

import numpy as np
import pytest

from nasiam_mm.datasets.array_files import ARRAY_NAMES, SourceRecord, sha256_array

DIGESTS = dict.fromkeys(ARRAY_NAMES, '0' * 64)


@pytest.mark.parametrize('dtype', [np.uint8, np.int64, np.float32])
def test_sha256_is_over_the_bytes_in_c_order(dtype):
    array = np.arange(24, dtype=dtype).reshape(2, 3, 4)
    expected = hashlib.sha256(array.tobytes()).hexdigest()
    assert sha256_array(array) == expected
    assert sha256_array(np.asfortranarray(array)) == expected
    assert sha256_array(array.transpose(2, 1, 0)) != expected


def test_record_round_trip(tmp_path):
    assert SourceRecord.read(tmp_path) is None
    record = SourceRecord('CIFAR10', 'npm', DIGESTS)
    record.write(tmp_path)
    assert SourceRecord.read(tmp_path) == record
    first = (tmp_path / 'source.json').read_bytes()
    record.write(tmp_path)
    assert (tmp_path / 'source.json').read_bytes() == first
    assert [path.name for path in tmp_path.iterdir()] == ['source.json']


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ('', 'Expecting value'),
        ('[]', 'must be a mapping'),
        ('{}', 'missing 3 required'),
        (json.dumps({'dataset': 'a', 'source': 'npm', 'digests': DIGESTS, 'x': 1}), "argument 'x'"),
        (
            json.dumps({'dataset': 'a', 'source': 'web', 'digests': DIGESTS}),
            'source must be one of',
        ),
        (json.dumps({'dataset': 'a', 'source': 'npm', 'digests': {}}), 'digests must name'),
        (json.dumps({'dataset': 'a', 'source': 'npm', 'digests': None}), 'digests must name'),
        (
            json.dumps({'dataset': 'a', 'source': 'npm', 'digests': list(ARRAY_NAMES)}),
            'digests must name',
        ),
    ],
)
def test_malformed_record(tmp_path, text, reason):
    (tmp_path / 'source.json').write_text(text)
    with pytest.raises(ValueError) as info:
        SourceRecord.read(tmp_path)
    message = str(info.value)
    assert message.startswith(f'{tmp_path}/source.json: not a valid source record: ')
    assert reason in message and '\n' not in message
