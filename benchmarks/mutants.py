# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Malformed input for the commands, by kind; each is drawn from seeded random numbers."""

import copy
import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import numpy as np

_HUGE, _DEEP = '@huge@', '@deep@'  # what json cannot write is put in as text
# Values of every kind for any place.
_ODD: list[Any] = [
    None, True, False, -1, 0, 1, 2**63, -(2**40), 10**400, 0.5, -0.0, 1e308, float('nan'),
    float('inf'), '', ' ', 'x', 'x' * 5000, 'é🦄', '\x00', 'a\nb', '\x1b[31m', '\u202e', '\ud800',
    '../../x', '/dev/null', '{{x}}', '%s', '1e999', 'nan', 'data.root', 'data.size', 'type', [], {},
    [[]], [None], {'type': 'x'}, {'type': 'os.system'}, {'': {}}, [1, 'x', None], _HUGE, _DEEP,
]  # fmt: skip


@dataclass
class Case:
    """A command line with input prepared for it.

    Attributes:
        argv: What follows ``nasiam``.
        size: Bytes of the input.
        canary: A file that code within the input would remove.
    """

    argv: list[str]
    size: int
    canary: Path


def change(tree: Any, draw: Random, odd: list[Any]) -> Any:
    """Return a copy of nested dicts and lists with one to three places changed."""
    top = [copy.deepcopy(tree)]
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        owner: Any = top
        key: Any = 0
        while isinstance(owner[key], (dict, list)) and owner[key] and draw.random() < 0.85:
            owner = owner[key]
            key = draw.choice(list(owner) if isinstance(owner, dict) else range(len(owner)))
        act = draw.choice(['odd', 'odd', 'odd', 'drop', 'nest', 'twice', 'rename', 'swap', 'add'])
        value = owner[key]
        if act == 'drop' and owner is not top:
            del owner[key]
        elif act == 'nest':
            owner[key] = draw.choice([[value], {'x': value}, [value, value], str(value)])
        elif act == 'twice' and isinstance(owner, list) and owner is not top:
            owner.extend(owner[key:] * draw.choice([1, 2, 50]))
        elif act == 'rename' and isinstance(owner, dict):
            owner[draw.choice(['x', '', str(key)[:-1], f'{key}.0', 'é', 'type'])] = owner.pop(key)
        elif act == 'swap':
            other = draw.choice(list(owner) if isinstance(owner, dict) else range(len(owner)))
            owner[key], owner[other] = owner[other], value
        elif act == 'add' and isinstance(value, dict):
            value[draw.choice(['x', 'type', '_scope_', '_delete_', '_base_'])] = draw.choice(odd)
        else:
            owner[key] = copy.deepcopy(draw.choice(odd))
        if not isinstance(top[0], (dict, list)):
            break
    return top[0]


def damage(data: bytes, draw: Random) -> bytes:
    """Return bytes with a part cut, doubled, flipped, put in, or in another encoding."""
    a, b = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    spot = draw.randrange(max(1, len(data)))
    flipped = bytes([data[spot] ^ 1 << draw.randrange(8)]) if data else b''
    odd = [
        b'\x00',
        b'\xff\xfe',
        b'\xef\xbb\xbf',
        b'"',
        b'{',
        b']',
        b'\r\n',
        b'9' * 6000,
        b'[' * 99999,
    ]
    return draw.choice(
        [
            b'',
            data[:a],
            data[a:],
            data[:a] + data[b:],
            data[:b] + data[a:],
            data[:spot] + flipped + data[spot + 1 :],
            data[:a] + draw.choice(odd) + data[a:],
            draw.choice(odd) + data,
            data + data,
            draw.randbytes(100),
            data[:spot] + draw.randbytes(8) + data[spot + 8 :],
            b'\x89PNG\r\n\x1a\n' + data,
            b'PK\x03\x04' + data[4:],
            data.decode('latin-1').encode('utf-16'),
        ]
    )


def to_json(tree: Any) -> bytes:
    """Write JSON, with numbers and a depth that Python's writer refuses."""
    text = json.dumps(tree).replace(f'"{_HUGE}"', '9' * 5000)
    return text.replace(f'"{_DEEP}"', '[' * 50000 + ']' * 50000).encode()


def mutant(tree: Any, draw: Random) -> bytes:
    """Return a document of JSON with wrong content, or damaged."""
    if draw.random() < 0.7:
        return to_json(change(tree, draw, _ODD))
    return damage(to_json(tree), draw)


def put(path: Path, data: bytes, draw: Random) -> int:
    """Write a file, now and then something else in its place; return the bytes of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    act = draw.randrange(150)
    if act == 0:
        path.mkdir()
    elif act == 1:
        os.mkfifo(path)
    elif act < 6:
        to = ['/nowhere', path.name, '/dev/zero', '/proc/self/mem', '/dev/tty'][draw.randrange(5)]
        path.symlink_to(to)
    elif act > 6:
        path.write_bytes(data)
        if act == 7:
            path.chmod(0)
    return len(data)


def make_originals(folder: Path) -> SimpleNamespace:
    """Make what mutants are made of: a tiny data set, configs, a finished search, detection."""
    from benchmarks import ROOT, originals

    return originals.make(folder, ROOT)


def _case(folder: Path, size: int, *argv: Any) -> Case:
    canary = folder / 'canary'
    canary.touch()
    return Case([str(word) for word in argv], size, canary)


def genotype(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make a genotype file, of schema 2 or 1 or the authors' text, and a command that reads it."""
    file, out = folder / f'genotype{draw.choice([".json"] * 9 + [".txt"])}', folder / 'out.json'
    if draw.random() < 0.2:
        text = of.published.encode()
        for _ in range(draw.choice([1, 2])):
            text = damage(text, draw)
        size = put(file, text, draw)
        return _case(
            folder, size, 'genotype', 'import', file, '--framework', 'SimSiam', '--out', out
        )
    size = put(file, mutant(draw.choice(of.genotypes), draw), draw)
    command = draw.randrange(12)
    if command == 0:
        return _case(folder, size, 'check', of.pretrain, '--genotype', file, '--work-dir', 'work')
    if command == 1:
        return _case(folder, size, 'draw', file, '--out', folder / 'out.svg')
    return _case(folder, size, 'genotype', 'random', file, '--out', out)


def json_file(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make a record of the data or of alpha, and a command that reads it."""
    if draw.random() < 0.4:
        size = put(folder / 'alpha.json', mutant(of.alpha, draw), draw)
        return _case(folder, size, 'draw', 'alpha.json', '--kind', 'alpha', '--out', 'out.svg')
    _link(of.data, folder / 'data')
    (folder / 'data/source.json').unlink()
    size = put(folder / 'data/source.json', mutant(of.source, draw), draw)
    words = [['check', of.search, '--work-dir', 'work'], ['config', of.search]][draw.random() < 0.5]
    return _case(folder, size, *words, '--data', folder / 'data')


def array(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make an array of images or labels of a data set, and a command that reads it."""
    name = draw.choice(['train_images', 'train_labels', 'test_images', 'test_labels'])
    _link(of.data, folder / 'data')
    file, buffer = folder / f'data/{name}.npy', io.BytesIO()
    good = np.load(file)
    odd: list[Any] = [
        good.astype(draw.choice(['f4', 'i8', 'u2', 'c8', 'S3', 'M8[s]', 'O', '>i4', '?'])),
        good[:0], good[:1], good[:-1], good.T, good[None], good[..., None], good.ravel(),
        np.asfortranarray(good), -good.astype('i8'), good.astype('i8') + 2**40,
        np.array(None), np.array([{}]), np.zeros((2, 0, 0, 3), 'u1'), np.zeros((0, 3)),
    ]  # fmt: skip
    np.save(buffer, draw.choice(odd) if draw.random() < 0.5 else good)
    data = buffer.getvalue()
    if draw.random() < 0.6:
        head = data[:128]
        a, b = draw.choice(
            [(b"'shape': (", b"'shape': (-"), (b"'shape': (", b"'shape': (99999999999999, "),
             (b'descr', b'Descr'), (b'False', b'True '), (b'|u1', b'|O8'), (b'|u1', b'<f8'),
             (b'{', b'('), (b'}', b')'), (b'\x01\x00', b'\x03\x00'), (b'NUMPY', b'numpy'),
             (b'\x76\x00', b'\xff\xff'), (b'(', b'((((((((((')]
        )  # fmt: skip
        data = head.replace(a, b)[:128] + data[128:] if draw.random() < 0.5 else damage(data, draw)
    if draw.random() < 0.05:
        data = pickle.dumps(Payload(folder / 'canary'))
    file.unlink()
    size = put(file, data, draw)
    words = [['check', of.search, '--work-dir', 'work', '--data'], ['data', 'describe']]
    return _case(folder, size, *words[draw.random() < 0.6], folder / 'data')


def image(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make image files in folders of classes, and a command that reads them."""
    names = ['train/a/1', 'train/a/2', 'train/b/3', 'test/a/4', 'test/b/5']
    wrong, size = draw.choice(names), 0
    for name in names:
        data, suffix = draw.choice(of.images), draw.choice(of.suffixes)
        if name == wrong:
            odd = [b'\xff\xe1\x00\x08Exif\x00\x00', b'\xff\xc0', b'IHDR\xff\xff\xff\xff', b'IHDR']
            for _ in range(draw.choice([0, 1, 1, 2])):
                data = damage(data, draw)
            data = data.replace(draw.choice(odd[1:2] + odd[3:]), draw.choice(odd), 1)
        path = folder / f'data/{name}{suffix}'
        size += put(path, data, draw if name == wrong else Random(0))
    if draw.random() < 0.3:
        odd_name = draw.choice(
            ['.hidden/x', 'c/', 'train/loose', 'val/x', 'train/\udcff/x', 'train/ /x']
        )
        put(folder / f'data/{odd_name}.png', of.images[0], draw)
    return _case(folder, size, 'data', 'describe', folder / 'data', '--size', draw.choice(of.sizes))


def config(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make a config, and a command that reads it."""
    tree, file = (
        draw.choice(of.configs),
        folder / f'config{draw.choice([".py"] * 9 + [".json", ".yaml", ""])}',
    )
    if draw.random() < 0.7:
        tree = change(tree, draw, _ODD)
        tree = tree if isinstance(tree, dict) else {'model': tree}
        text = '\n'.join(f'{name} = {value!r}' for name, value in tree.items())
        text = text.replace(f"'{_HUGE}'", '9' * 4000).replace(f"'{_DEEP}'", '[' * 150 + ']' * 150)
        text = re.sub(r"(?<![\w'])(inf|nan)(?![\w'])", r"float('\1')", text)
        data = text.encode('utf-8', 'surrogatepass')
    else:
        data = '\n'.join(f'{name} = {value!r}' for name, value in tree.items()).encode()
        data = damage(data, draw) if draw.random() < 0.4 else data + draw.choice(_LINES).encode()
    size = put(file, data, draw)
    command = draw.choice(['check', 'check', 'config'])
    return _case(folder, size, command, file, '--work-dir', folder / 'work')


_LINES = [f'\n{line}\n' for line in (
    "_base_ = './config.py'", "_base_ = ['a.py']", '_base_ = 3', "_base_ = 'no::such.py'",
    "_base_ = 'mmdet::x'", '_base_ = [None]', "_base_ = {'a': 1}", '1 / 0', 'raise KeyError(1)',
    'import nothing_here', 'from os import *', 'f = lambda: 0', 'def f(): f()\nf()', 'x = {1: 2}',
    'x = {1, 2}', 'x = b"1"', 'x = 1j', 'x = ...', 'x = range(3)', 'x = object()', 'x = print',
    'x = [0]\nx.append(x)', 'import sys\nsys.exit(3)', 'raise SystemExit', 'model = None',
    'model.update(x=1)', 'del model', "model['backbone'] = model", 'open("/nowhere")', '[][1]',
    '{}["a"]', "int('x')", 'assert False', 'x = {{ fileDirname }}', "x = '{{_base_.y}}'",
    'custom_imports = dict(imports=["no_such"])', 'custom_imports = 3', 'default_scope = "none"',
    'default_scope = 3', 'x: int = 1', 'async def f(): pass', 'class A: pass', 'yield 1', 'return',
    'with open(__file__) as f: y = f', 'x = "\\ud800"', 'filename = 3', 'text = 1', 'pop = 1',
    'runner_type = "X"', 'work_dir = 3', 'launcher = []', 'data = []', 'data = dict(root=3)',
    'b"" + 1', 'x = 10 ** 5000', "raise ValueError('x' * 5000)", "raise ValueError('a\\nb')",
    'from mmengine.config import read_base\nwith read_base():\n    from .nothing import *',
)]  # fmt: skip


def option(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make a command line with odd options over good files."""
    words = ['check', of.search]
    if draw.random() < 0.6:
        path = draw.choice(of.paths)
        if draw.random() < 0.3:
            path = draw.choice([path[:-1], f'{path}.x', f'{path}.0', f'{path}.', f'.{path}', 'x'])
        value = draw.choice(_TEXTS)
        pair = draw.choice([f'{path}={value}'] * 8 + [path, f'={value}', f'{path}==', value])
        words += ['--cfg-options', pair, *(['seed=1'] if draw.random() < 0.2 else [])]
        words[0] = draw.choice(['check', 'check', 'config'])
        return _case(folder, 0, *words, '--work-dir', 'work')
    words = list(map(str, draw.choice(of.commands)))
    flags = ['--work-dir', '--data', '--genotype', '--launcher', '--local-rank', '--resume',
             '--seed', '--checkpoint', '--extend', '--amp', '--auto-scale-lr', '--out', '--k',
             '--l2', '--size', '--temperature', '--fractions', '--label-seeds', '--val-fraction',
             '--split', '--kind', '--layout', '--framework', '--name', '--custom-imports',
             '--save-features', '--x', '-', '--no-validate', '--config', '--root', '--archive',
             '--source', '--data-root']  # fmt: skip
    for _ in range(draw.choice([1, 1, 2])):
        act = draw.randrange(4)
        if act == 0:
            words[draw.randrange(len(words))] = draw.choice(_TEXTS)
        elif act == 1:
            words.pop(draw.randrange(1, len(words)))
        else:
            words += [draw.choice(flags), *draw.choices(_TEXTS, k=draw.choice([0, 1, 1, 1, 2]))]
    words = [word for word in words if word not in ('cifar10', 'cifar100')]  # that would fetch
    return _case(folder, 0, *words)


_TEXTS = [
    '', ' ', '0', '-1', '1', '3', '0.5', '1e400', '-0.0', 'nan', 'inf', 'None', 'True', 'x', "'",
    '"', '[', ']', '(', '[[', '[1,2', '[1,]', '(1,2)', '[a,b],', '[' * 3000,
    '[' * 3000 + ']' * 3000, '9' * 5000, 'x' * 6000, 'é🦄', '\udcff', '\x00', 'a\nb', '\x1b[31m',
    '/nowhere/x', '/dev/null', '/dev/null/x', '.', '..', 'canary', '-', '--', '--seed',
    'dict(a=1)', '{"a": 1}', '[{}]', 'a=b', 'os.system', '__import__("os").remove("canary")',
    '$(rm canary)', '4294967296', 'none', 'pytorch', 'slurm', 'auto', 'x' * 300 + '/y',
    'nasiam_mm::x', '*.py', '~', '~nobody/x', 'http://', 'file:///x',
]  # fmt: skip


def coco(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make annotations in COCO's format, and the command that looks through them."""
    _link(of.coco_set, folder / 'set')
    name = draw.choice(['train', 'train', 'val'])
    file = folder / f'set/annotations/{name}.json'
    file.unlink()
    size = put(file, mutant(of.coco, draw), draw)
    return _detect(folder, size, of.coco_config)


def voc(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make a file of a set in the layout of Pascal VOC, and the command that looks through it."""
    _link(of.voc_set, folder / 'set')
    root = folder / 'set/VOC2007'
    names = ['Annotations/1.xml'] * 5 + ['ImageSets/Main/train.txt'] * 2 + ['JPEGImages/1.jpg']
    file = root / draw.choice(names)
    data = file.read_bytes()
    if file.suffix == '.xml' and draw.random() < 0.6:
        lines = data.decode().splitlines()
        spot = draw.randrange(len(lines))
        values = [
            '',
            '-1',
            '0',
            'nan',
            '1e999',
            'x' * 3000,
            '&x;',
            '<a/>',
            'Person',
            '9' * 5000,
            '\n',
        ]
        head, _, tail = lines[spot].partition('>')
        lines[spot] = draw.choice(
            [f'{head}>{draw.choice(values)}<{tail.partition("<")[2]}', '', tail]
        )
        if draw.random() < 0.2:  # entities that grow
            more = ''.join(
                f'<!ENTITY {b} "{f"&{a};" * 50}">'
                for a, b in zip('abcdefg', 'bcdefgh', strict=True)
            )
            lines.insert(0, f'<!DOCTYPE z [<!ENTITY a "aaaaaaaaaa">{more}]>')
            lines.insert(3, '<name>&h;</name>')
        data = '\n'.join(lines).encode()
    else:
        data = damage(data, draw)
    file.unlink()
    return _detect(folder, put(file, data, draw), of.voc_config)


def _detect(folder: Path, size: int, cfg: Path) -> Case:
    words = ['--random-init', '--dry-run', '--data-root', folder / 'set', '--work-dir', 'work']
    return _case(folder, size, 'detect', cfg, *words)


class Payload:
    """Calls something when it is unpickled."""

    def __init__(self, canary: Path, kind: str = 'remove') -> None:
        code = f'__import__("os").remove({str(canary)!r})'
        self.call = {
            'remove': (os.remove, (str(canary),)),
            'eval': (eval, (code,)),
            'exec': (exec, (code,)),
            'bytes': (bytes, (10**11,)),
            'list': (list, (range(10**10),)),
            'getattr': (getattr, ('x', 'upper')),
        }[kind]

    def __reduce__(self) -> tuple:
        return self.call

    def __deepcopy__(self, memo: dict) -> 'Payload':
        return self  # a copy would be made by the call


def checkpoint(draw: Random, folder: Path, of: SimpleNamespace) -> Case:
    """Make a checkpoint, and a command that reads it."""
    import torch

    canary, state, buffer = folder / 'canary', of.state, io.BytesIO()
    if (act := draw.random()) < 0.6:
        kinds = ['remove', 'eval', 'exec', 'bytes', 'list', 'getattr']
        odd = [*_ODD, torch.ones(3), torch.ones(1).expand(9), torch.tensor(float('nan')),
               torch.nn.ReLU(), torch.ones(2).to_sparse(), torch.ones(2, dtype=torch.complex64),
               np.ones(2), np.float64(1), np.array([None]), torch.ones(2, 0), 1j, b'x', {1: 2},
               set(), (), print, Random, torch.empty(10**6, device='meta'), *(Payload(canary,
               kind) for kind in kinds)]  # fmt: skip
        state = change(state, draw, odd)
    elif act < 0.7:
        code = f'import os; os.remove({str(canary)!r})'
        lines = [code, 'model = ' + '[' * 500, '1 / 0', 'model = dict()', 'model = 3', 'a = b',
                 '\x00', 'model = dict(backbone=dict(type="os.system", command="x"))',
                 'x = [0] * 10**10', 'model = dict(**{})',
                 'model = {"backbone": {"type": "ResNet", "depth": 1}}']  # fmt: skip
        text = state['meta']['cfg'] if draw.random() < 0.5 else ''
        state = {**state, 'meta': {**state['meta'], 'cfg': f'{text}\n{draw.choice(lines)}\n{text}'}}
    form = draw.random()
    if form < 0.1:
        buffer.write(pickle.dumps(state, draw.randrange(6)))
    else:
        torch.save(state, buffer, _use_new_zipfile_serialization=form > 0.2)
    data = buffer.getvalue()
    if act > 0.7 and form > 0.2:
        data = _surgery(data, draw, Payload(canary)) if draw.random() < 0.6 else damage(data, draw)
    elif act > 0.7:
        data = damage(data, draw)
    run = folder / 'work'
    file = (
        run / 'epoch_1.pth'
        if draw.random() < 0.3
        else folder / f'c{draw.choice([".pth"] * 9 + [".pkl", ".safetensors"])}'
    )
    size = put(file, data, draw)
    if file.parent == run:
        return _case(folder, size, 'train', of.search, '--resume', '--work-dir', run)
    commands: list[list[Any]] = [['export', file, 'out.pth']] * 6 + [
        ['train', of.search, '--resume', file, '--work-dir', run],
        ['check', of.pretrain, '--checkpoint', file, '--work-dir', run],
        ['test', of.search, file, '--work-dir', run],
        ['export', file, 'out.safetensors', '--layout', 'torchvision'],
    ]
    return _case(folder, size, *draw.choice(commands))


def _surgery(data: bytes, draw: Random, payload: Payload) -> bytes:
    """Return an archive of which a record is gone, doubled, packed, renamed or replaced."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        records = [(record.filename, old.read(record)) for record in old.infolist()]
    act, spot = draw.randrange(8), draw.randrange(len(records))
    name, content = records[spot]
    if act == 0:
        del records[spot]
    elif act == 1:
        records.append((name, damage(content, draw)))
    elif act == 2:
        records[spot] = (
            draw.choice([' ', '/', '../x', 'x/data.pkl', name.upper(), f'{name}\x00y']),
            content,
        )
    elif act == 3:
        records[0] = (records[0][0], pickle.dumps(payload, 2))
    elif act == 4:
        records[spot] = (name, damage(content, draw))
    elif act == 5:
        records.append((records[0][0].replace('data.pkl', 'data/x'), b'0' * 10**7))
    elif act == 6:
        draw.shuffle(records)
    packed = zipfile.ZIP_DEFLATED if act in (5, 7) else zipfile.ZIP_STORED
    with zipfile.ZipFile(out, 'w', packed) as new:
        for name, content in records:
            new.writestr(name, content)
    return out.getvalue()


def _link(source: Path, folder: Path) -> None:
    """Lay out a folder like another, its files as links: a mutant takes the place of one."""
    for base, _, names in os.walk(source):
        place = folder / Path(base).relative_to(source)
        place.mkdir(parents=True)
        for name in names:
            (place / name).symlink_to(Path(base, name))


KINDS: dict[str, Callable[[Random, Path, SimpleNamespace], Case]] = {
    'genotype': genotype,
    'json': json_file,
    'array': array,
    'image': image,
    'config': config,
    'option': option,
    'coco': coco,
    'voc': voc,
    'checkpoint': checkpoint,
}
