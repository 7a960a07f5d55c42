# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Checkpoints that would run something, or ask for more memory than they are large."""

import io
import pickle
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from tests.checkpoints import Payload, training_state

# Of a function of the operating system that leaves a trace: os.mkdir.
RUNNING = (
    'zip',
    'legacy',
    'pickle',
    'protocol_4',
    'tar',
    'array',
    'typed',
    'eval',
    'chain',
    'load',
)
LARGE = 3_000_000_000


def write_running(kind: str, path: Path, trace: Path) -> None:
    """Write a file whose reading would make the folder ``trace``."""
    import os

    mkdir = Payload(os.mkdir, str(trace))
    code = f'__import__("os").mkdir({str(trace)!r})'
    if kind == 'pickle':
        path.write_bytes(pickle.dumps(mkdir, 2))
    elif kind == 'protocol_4':
        path.write_bytes(pickle.dumps(mkdir, 4))
    elif kind == 'tar':
        _write_tar(path, pickle.dumps(mkdir, 2))
    else:
        hidden = {
            'array': np.array([mkdir], dtype=object),
            'typed': Payload(torch._tensor._rebuild_from_type_v2, os.mkdir, list, (str(trace),), 0),
            'eval': Payload(eval, code),
            'chain': Payload(Payload(getattr, HistoryBuffer, '__init__'), HistoryBuffer()),
            'load': Payload(torch.load, _evil_file(path, mkdir), None, None),
        }.get(kind, mkdir)
        state = training_state(3, hidden=hidden)
        torch.save(state, path, _use_new_zipfile_serialization=kind != 'legacy')


def _evil_file(path: Path, payload: Payload) -> str:
    other = path.with_suffix('.bin')
    torch.save(payload, other)
    return str(other)


def _write_tar(path: Path, content: bytes) -> None:
    """Write the form of torch from before its pickles: a tar of pickles."""
    with tarfile.open(path, 'w') as tar:
        for name in ('storages', 'tensors', 'pickle'):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def _pickled(path: Path, content: bytes, record: bytes = b'', packed: bool = False) -> None:
    method = zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, 'w', method) as archive:
        for name, data in (('data.pkl', content), ('byteorder', b'little'), ('data/0', record)):
            archive.writestr(f'archive/{name}', data)
        archive.writestr('archive/version', b'3\n')


def _number(value: int) -> bytes:
    data = value.to_bytes(8, 'little', signed=True)
    return b'\x8a' + bytes([len(data)]) + data


def _text(value: str) -> bytes:
    data = value.encode()
    return b'X' + struct.pack('<I', len(data)) + data


def _storage(count: int) -> bytes:
    """Code of a storage of float32."""
    kind = b'ctorch\nFloatStorage\n'
    return b'(' + _text('storage') + kind + _text('0') + _text('cpu') + _number(count) + b'tQ'


def _tensor(count: int, size: int, stride: int) -> bytes:
    head = b'ctorch._utils\n_rebuild_tensor_v2\n(' + _storage(count) + _number(0)
    shape = _number(size) + b'\x85' + _number(stride) + b'\x85'
    return head + shape + b'\x89ccollections\nOrderedDict\n)RtR'


def _called(name: str, *arguments: bytes) -> bytes:
    return b'c' + name.replace(' ', '\n').encode() + b'\n(' + b''.join(arguments) + b'tR'


def _grown() -> bytes:
    """Code of a text whose bytes double 40 times."""
    code = _text('aa')
    for _ in range(40):
        code = _called('_codecs encode', code, _text('utf-16'))
    return code


# Code of a pickle that asks for much.
GREEDY = {
    'bytes': _called('builtins bytes', _number(LARGE)),
    'bytes_2': _called('__builtin__ bytes', _number(LARGE)),
    'bytearray': _called('builtins bytearray', _number(LARGE)),
    'tensor': _called('torch Tensor', _number(LARGE)),
    'storage': _tensor(LARGE, 4, 1),
    'negative': _tensor(-LARGE, 4, 1),
    'expanded': _tensor(4, LARGE, 0),
    'array': _called(
        'numpy._core.multiarray _reconstruct',
        b'cnumpy\nndarray\n' + _number(LARGE) + b'\x85' + _text('b'),
    ),
    'array_made': b'cnumpy\nndarray\n' + _number(LARGE) + b'\x85\x81',
    'wide': _called('numpy dtype', _text(f'V{LARGE}'), b'\x89\x88'),
    'doubling': _grown(),
    'set_tensor': _tensor(4, 4, 1)
    + b'(' + _storage(4) + _number(0) + _number(LARGE) + b'\x85' + _number(1) + b'\x85tb',
    # A tuple that a scanner might take for its own mark, and then see another call.
    'forged_mark': b'cnumpy._core.multiarray\n_reconstruct\n}(cnumpy\nndarray\nN'
    + _number(LARGE) + b'\x85ccollections\nOrderedDict\n' + _text('b')
    + _text('mark') + b'K\x00K\x01\x87uR',
    # As keys: hashing them takes for ever, or overruns the stack.
    'nested_twice': b'})' + b'q\x01h\x01\x86' * 60 + b'Ns',
    'nested_deep': b'})' + b'\x85' * 2000 + b'Ns',
}  # fmt: skip


def write_greedy(kind: str, path: Path) -> None:
    """Write a file of less than 10 kB, or 3 MB for ``'packed'``, that asks for gigabytes."""
    if kind == 'packed':
        _pickled(path, b'\x80\x02}.', bytes(LARGE // 1000), packed=True)
    elif kind == 'two_lists':
        _write_two_lists(path)
    elif kind == 'two_names':
        _write_two_names(path)
    elif kind.startswith('legacy_'):
        pickles = [0x1950A86A20F9469CFC6C, 1001, {}]
        head = b''.join(pickle.dumps(value, 2) for value in pickles)
        path.write_bytes(head + b'\x80\x02' + GREEDY[kind[7:]] + b'.' + pickle.dumps(['0'], 2))
    else:
        _pickled(path, b'\x80\x02' + GREEDY[kind] + b'.', bytes(16))


def _write_two_lists(path: Path) -> None:
    """Write an archive whose end record leads Python to a harmless pickle and torch to another."""
    greedy = b'\x80\x02' + GREEDY['bytes'] + b'.'
    parts = []
    for content in (greedy, b'\x80\x02}.'.ljust(len(greedy))):
        _pickled(path, content)
        data = path.read_bytes()
        length, start = struct.unpack('<2L', data[-10:-2])
        parts.append((data[:start], data[start:-22]))
    (evil, evil_list), (good, good_list) = parts
    end = struct.pack('<4s4H2LH', b'PK\5\6', 0, 0, 4, 4, length, len(evil), 0)
    path.write_bytes(evil + evil_list + good + good_list + end)


def _write_two_names(path: Path) -> None:
    """Write an archive in which a zero byte cuts a name short for Python alone."""
    with zipfile.ZipFile(path, 'w') as archive:
        for name, data in (('data.pkl!', b'\x80\x02}.'), ('version', b'3\n')):
            archive.writestr(f'archive/{name}', data)
    path.write_bytes(path.read_bytes().replace(b'data.pkl!', b'data.pkl\x00'))


# Texts of a config with model.backbone that would run something if it was evaluated.
TEXTS = {
    'line': 'import os; os.mkdir({trace!r})\n',
    'call': 'seed = __import__("os").mkdir({trace!r})\n',
    'f_string': 'seed = f\'{{__import__("os").mkdir({trace!r})}}\'\n',
    'base_name': "_base_ = ['{trace}.py']\nseed = _base_.seed\n",
    'comprehension': 'seed = [m.mkdir({trace!r}) for m in [__import__("os")]]\n',
    'unpacked': 'seed = dict(**__import__("os").environ)\n',
    'lambda': 'seed = (lambda: __import__("os").mkdir({trace!r}))()\n',
    'decorator': '@__import__("os").mkdir\ndef f(): pass\n',
}
# Backbones that are plain data and would run something when they are built.
PARTS = {
    'function': "dict(type='os.mkdir', path={trace!r})",
    'nested': "dict(type='ResNet', depth=18, norm_cfg=dict(type='os.mkdir', path={trace!r}))",
    'module': "dict(type='mmengine.utils.mkdir_or_exist', dir_name={trace!r})",
    'fetches': "dict(type='TIMMBackbone', model_name='resnet18', checkpoint_path={trace!r})",
    'remote': "dict(type='HuggingFaceClassifier', model_name={trace!r})",
    'scope': "dict(type='ResNet', depth=18, norm_cfg=dict(type='BN', _scope_='antigravity'))",
}
