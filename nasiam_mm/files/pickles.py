# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a checkpoint asks for when it is read, found out without doing it (contract C11).

The list of ``torch.load(weights_only=True)`` serves more than checkpoints: ``bytearray(3e9)`` is on
it, and a storage of any claimed size. Here the pickle is walked first, on a stack of stand-ins:
every name must be one that checkpoints hold, and no call may give more than the file is large.
"""

import io
import mmap
import os
import pickletools
import re
import reprlib
import struct
import zipfile
from collections import namedtuple
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import IO, Any

HISTORY = 'mmengine.logging.history_buffer.HistoryBuffer'
STATISTICS = ('min', 'max', 'current', 'mean')
_DEEPEST = 50  # tuples within tuples; Python hashes them by recursion
_LEGACY_PICKLES = 5  # before the storages, in a file from before torch wrote archives
_ELEMENT_BYTES = {
    'Bool': 1, 'Byte': 1, 'Char': 1, 'Short': 2, 'Half': 2, 'BFloat16': 2, 'Int': 4, 'Float': 4,
    'Long': 8, 'Double': 8, 'ComplexFloat': 8, 'ComplexDouble': 16, 'Untyped': 1,
}  # fmt: skip
_STORAGE = re.compile(rf'torch\.(?:storage\.|cuda\.)?({"|".join(_ELEMENT_BYTES)})Storage')
# Names that are arguments of calls and never called.
_ARGUMENT = re.compile(
    r'numpy\.ndarray|torch\.Tensor|torch\.nn\.parameter\.Parameter'
    r'|torch\.(bool|half|float|double|short|int|long|bfloat16|float8_\w+|(u?int|float|complex)\d+)'
)
_NUMBER = re.compile(r'[<>|=]?([biufc]\d{1,2}|\?)')


class Refused(Exception):
    """What a pickle holds that no checkpoint does."""


def scan_checkpoint(path: str | os.PathLike, allowed: Collection[str] = ()) -> None:
    """Refuse a file that asks for more than tensors, plain data and types of ``allowed`` names."""
    size = os.path.getsize(path)
    with open(path, 'rb') as file:
        start = file.read(4)
        if start == b'PK\x03\x04':
            pickled, sizes = _open_archive(file, size)
            return _Walk(size, sizes, allowed).run(io.BytesIO(pickled))
        if start[:2] != b'\x80\x02':
            raise ValueError('neither an archive nor a pickle of protocol 2')
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            for _ in range(_LEGACY_PICKLES):
                _Walk(size, None, allowed).run(content)


def _open_archive(file: IO[bytes], size: int) -> tuple[bytes, dict[str, int]]:
    """Return the pickle that torch will find, and the bytes of each storage by its key."""
    file.seek(max(0, size - 98))
    tail = file.read()
    mark, length, start, comment = struct.unpack('<4s8x2LH', tail[-22:])
    told = end = size - 22
    if tail[-42:-38] == b'PK\x06\x07':
        end = size - 98
        (told,) = struct.unpack('<Q', tail[-34:-26])
        length, start = struct.unpack('<2Q', tail[40:56])
    if mark != b'PK\x05\x06' or comment:
        raise ValueError('cut short, or followed by something')
    # Python takes the list of records that ends where the end record begins, torch the one whose
    # place that record tells; for large archives likewise with the end record itself.
    if told != end or start + length != end:
        raise Refused('two lists of its records')
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        names = {record.filename.lower() for record in records}
        is_packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
        claimed = sum(max(record.file_size, record.compress_size) for record in records)
        # torch packs nothing: what is packed, or there twice, would unpack to any size.
        if is_packed or claimed > size or len(names) < len(records):
            raise Refused(f'{claimed:,} bytes packed into {size:,}')
        # Python cuts a name at a zero byte, and follows a second one.
        if any(record.filename != record.orig_filename for record in records):
            raise Refused('a record of two names')
        root = records[0].filename.split('/', 1)[0]
        data = [record for record in records if record.filename.startswith(f'{root}/data/')]
        sizes = {record.filename.removeprefix(f'{root}/data/'): record.file_size for record in data}
        return archive.read(f'{root}/data.pkl'), sizes


_Name = namedtuple('_Name', 'name')  # that the pickle looked up
_Made = namedtuple('_Made', 'name size itemsize', defaults=(0, 1))  # by a call; sizes of a storage
_OBJECT = _Made('object')


class _Tuple(tuple):
    """A tuple, and what hashing it would walk over, in which shared parts count each time."""

    walked: int
    depth: int


_LITERALS = ('BININT', 'BININT1', 'BININT2', 'LONG1', 'BINFLOAT', 'BINUNICODE', 'SHORT_BINSTRING')
_CONSTANTS = {'NONE': None, 'NEWTRUE': True, 'NEWFALSE': False, 'EMPTY_TUPLE': ()}
_STATEFUL = ('numpy.ndarray', 'collections.OrderedDict', HISTORY, 'object')
_POPS = {'APPEND': 1, 'SETITEM': 2, 'STOP': 1, 'PROTO': 0}


@dataclass
class _Walk:
    """One pickle of a file."""

    limit: int  # bytes of the file
    records: Mapping[str, int] | None  # bytes of each storage by key; None if they come later
    allowed: Collection[str]  # further names
    stack: list[Any] = field(default_factory=list)
    marked: list[list[Any]] = field(default_factory=list)  # what lies below each mark
    memo: dict[Any, Any] = field(default_factory=dict)
    storages: dict[Any, int] = field(default_factory=dict)
    expanded: int = 0

    def run(self, file: IO[bytes] | Any) -> None:
        """Walk to the end of the pickle at which the file stands."""
        for operation, arg, _ in pickletools.genops(file):
            op, stack = operation.name, self.stack
            if op in _CONSTANTS:
                stack.append(_CONSTANTS[op])
            elif op in _LITERALS:
                stack.append(arg)
            elif op in ('EMPTY_LIST', 'EMPTY_DICT', 'EMPTY_SET'):
                stack.append(_OBJECT)
            elif op in _POPS:
                del stack[len(stack) - _POPS[op] :]
            elif op == 'MARK':
                self.marked.append(stack)
                self.stack = []
            elif op in ('APPENDS', 'SETITEMS', 'TUPLE'):
                self.stack = self.marked.pop()
                if op == 'TUPLE':
                    self.stack.append(self._tuple(stack))
            elif op in ('TUPLE1', 'TUPLE2', 'TUPLE3'):
                count = int(op[-1])
                stack[-count:] = [self._tuple(stack[-count:])]
            elif op in ('BINPUT', 'LONG_BINPUT'):
                self.memo[arg] = stack[-1]
            elif op in ('BINGET', 'LONG_BINGET'):
                stack.append(self.memo[arg])
            elif op == 'GLOBAL':
                stack.append(self._look_up(str(arg).replace(' ', '.', 1)))
            elif op in ('REDUCE', 'NEWOBJ'):
                args, called = stack.pop(), stack.pop()
                stack.append(self._call(called, args))
            elif op == 'BUILD':
                self._check_state(stack.pop(), stack[-1])
            elif op == 'BINPERSID':
                stack.append(self._storage(stack.pop()))
            else:
                raise Refused(f'pickle operation {op}')

    def _tuple(self, items: list[Any]) -> _Tuple:
        """Make a tuple; one of itself twice, again and again, takes for ever to hash."""
        made = _Tuple(items)
        inner = [item for item in items if isinstance(item, _Tuple)]
        made.walked = len(items) + sum(item.walked for item in inner)
        made.depth = 1 + max((item.depth for item in inner), default=0)
        if made.depth > _DEEPEST or made.walked > self.limit:
            raise Refused('tuples nested without end')
        return made

    def _look_up(self, name: str) -> _Name:
        name = name.replace('__builtin__.', 'builtins.', 1)
        is_known = name in _CALLS or name in self.allowed
        if not (is_known or _STORAGE.fullmatch(name) or _ARGUMENT.fullmatch(name)):
            raise Refused(name.removeprefix('builtins.'))
        return _Name(name)

    def _call(self, called: Any, args: Any) -> _Made:
        if not isinstance(called, _Name) or type(args) not in (tuple, _Tuple):
            raise Refused(getattr(called, 'name', type(called).__name__))
        if called.name in self.allowed:
            return _OBJECT
        check = _CALLS.get(called.name)
        if not (made := check(self, *args) if callable(check) else check):
            raise Refused(f'{called.name} of {reprlib.repr(args)}')
        return made if isinstance(made, _Made) else _Made(called.name)

    def _check_state(self, state: Any, target: Any) -> None:
        name = getattr(target, 'name', type(target).__name__)
        # Numbers have no fields, and their own size.
        is_number = name == 'numpy.dtype' and state[2:7] == (None, None, None, -1, -1)
        if not is_number and name not in _STATEFUL:
            raise Refused(f'a state for {name}')

    def _storage(self, key: Any) -> _Made:
        """Check the size that a storage claims against what the file has for it."""
        kind, storage, name, _, count = key[:5]
        known = _STORAGE.fullmatch(storage.name) if isinstance(storage, _Name) else None
        if kind not in ('storage', b'storage') or not known or not isinstance(count, int):
            raise Refused(f'a reference to {reprlib.repr(key)}')
        itemsize = _ELEMENT_BYTES[known[1]]
        self.storages[name] = size = count * itemsize
        held = sum(self.storages.values()) if self.records is None else size
        if not 0 <= held <= (self.limit if self.records is None else self.records[str(name)]):
            raise Refused(f'a claim to {size:,} bytes that are not there')
        return _Made('storage', size, itemsize)

    def _tensor(self, storage: Any, offset: Any, shape: Any, *_: Any) -> bool:
        """Check a shape: strides of 0 make much of little."""
        if not (isinstance(storage, _Made) and isinstance(shape, tuple)):
            return False
        size = prod(shape) * storage.itemsize
        self.expanded += size if size > storage.size else 0
        if self.expanded > self.limit:
            raise Refused(f'a tensor of {size:,} bytes in a file of {self.limit:,}')
        return True

    def _statistic(self, owner: Any, name: Any) -> _Made | bool:
        return owner == _Name(HISTORY) and name in STATISTICS and _Made(f'HistoryBuffer.{name}')

    def _array(self, kind: Any, shape: Any, *_: Any) -> _Made | bool:
        return (kind, shape) == (_Name('numpy.ndarray'), (0,)) and _Made('numpy.ndarray')


# What may be called: with anything, or with what a check says, which may also give what is made.
_CALLS: dict[str, bool | Callable[..., Any]] = {
    **dict.fromkeys(('collections.OrderedDict', 'collections.Counter'), True),
    **dict.fromkeys(('builtins.set', 'builtins.complex', 'torch.Size', 'torch.device'), True),
    'builtins.bytes': lambda walk, *args: not args,  # of an empty array
    'builtins.getattr': _Walk._statistic,
    '_codecs.encode': lambda walk, text, code: code == 'latin1',
    **{f'torch._utils._rebuild_tensor{form}': _Walk._tensor for form in ('', '_v2', '_v3')},
    **{f'torch._utils._rebuild_parameter{form}': True for form in ('', '_with_state')},
    'torch._tensor._rebuild_from_type_v2': lambda walk, make, cls, args, *_: walk._call(make, args),
    HISTORY: lambda walk, *args: not args,
    'numpy.dtype': lambda walk, code, *_: _NUMBER.fullmatch(code) is not None,
    # The module's name in NumPy 2 and in NumPy 1.
    **{f'numpy.{core}.multiarray._reconstruct': _Walk._array for core in ('_core', 'core')},
    **{f'numpy.{core}.multiarray.scalar': True for core in ('_core', 'core')},
}
