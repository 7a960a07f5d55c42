# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is a refused input and what a defect, and a refusal in one line (contract C8)."""

import errno
import os
import re
import traceback
from types import FrameType

# Who refuses an input: we, or mmengine where it reads a config, builds from it and loads files.
_MMENGINE = ('config', 'registry', 'fileio', 'runner', 'utils')
_LOADER = ('torch.utils.data.dataloader', 'torch.utils.data.sampler')
_OURS = ('nasiam_mm', 'benchmarks', '__main__')
_REFUSING = (*_OURS, *_LOADER, *(f'mmengine.{name}' for name in _MMENGINE))
_LONGEST = 480  # characters of an error
_REFUSALS = (ValueError, KeyError, RuntimeError, ImportError)
# What torch makes of an error in a worker of a loader: the traceback there, in the message here.
_OF_A_WORKER = re.compile(
    r'Caught \w+ in DataLoader worker process .*\n  File "(?P<file>[^"\n]+)", line [^\n]+\n'
    r'(?:    [^\n]*\n)*(?P<kind>[\w.]+): (?P<text>.*)',
    re.DOTALL,
)
_NUMBER = re.compile(r'^\[Errno \d+\] ')  # of the system, before its words
_WORKER_LOST = 'DataLoader worker (pid'
# What a value in a config may cause besides, where something is built with it.
_BUILD_ERRORS = (
    *_REFUSALS, TypeError, AttributeError, AssertionError, LookupError, ArithmeticError
)  # fmt: skip
# What takes settings as they stand in a config: any error there is of a value in it.
_INTERPRETING = (
    *(f'nasiam_mm.{name}' for name in ('cli.config', 'cli.reading', 'checks', 'unread')),
    *('nasiam_mm.datasets.resolve', 'nasiam_mm.runs.identity', 'mmengine.config'),
)

# Of what the system refuses, wherever it is written.
_MENDS = {
    errno.ENOSPC: 'free space, then go on, a training by --resume',
    errno.EROFS: 'choose another place',
    errno.EACCES: 'choose another place, or give yourself the permission',
}
for _code in (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.ELOOP):
    _MENDS[_code] = 'choose another place'
_MENDS[errno.EDQUOT] = _MENDS[errno.ENOSPC]


def is_user_error(error: Exception) -> bool:
    """Tell a refused input from a defect by what was raised and by whom."""
    if isinstance(error, OSError) or str(error).startswith(_WORKER_LOST):
        return True
    if _interprets(error):
        return not isinstance(error, MemoryError)
    if _built(error) is not None:
        return isinstance(error, _BUILD_ERRORS)
    # A sentence is a refusal; a bare key or name is a look-up that a defect let fail.
    is_refusal = isinstance(error, _REFUSALS) and ' ' in _text(error)
    return is_refusal and _is_within(_raised_in(error), _REFUSING)


def one_line(error: Exception) -> str:
    """Return the message of an error as one line that also says what was being built."""
    if isinstance(error, OSError) and error.errno is not None:
        told = ' '.join(str(error.strerror).split())
        if told != os.strerror(error.errno):
            return plain(told)  # ours
    if isinstance(error, OSError) and error.errno in _MENDS:
        where = f"'{error.filename}': " if error.filename else ''
        return plain(f'{where}{told}; {_MENDS[error.errno]}')
    line = _NUMBER.sub('', ' '.join(_text(error).split())) or type(error).__name__
    if line.startswith(_WORKER_LOST):
        line += '; lower num_workers or batch_size, or give them more memory'
    built = _built(error)
    speaks_for_itself = _is_within(_raised_in(error), ('nasiam_mm', 'mmengine.registry'))
    if built is not None and not (speaks_for_itself and isinstance(error, _REFUSALS)):
        return plain(f'{built} cannot be built from the config: {line}')
    says_nothing = not isinstance(error, (*_REFUSALS, OSError)) or ' ' not in line
    if built is None and _interprets(error) and says_nothing:
        return plain(f'a value in the config is missing or wrong: {type(error).__name__}: {line}')
    return plain(line)


def plain(text: str, longest: int = _LONGEST) -> str:
    """Return a text as one line that can be printed, cut in its middle: the mend stands last."""
    line = printable(' '.join(text.split()))
    end = longest // 3
    return line if len(line) <= longest else f'{line[: longest - end - 5]} ... {line[-end:]}'


def printable(text: str) -> str:
    """Return a text with what moves a cursor, colours or ends a line written out."""
    return ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def follows_another(error: Exception) -> bool:
    """Tell whether an error only says that another process of the run has ended."""
    told = ('gloo', 'NCCL', 'Connection closed by peer', 'Connection reset by peer')
    return isinstance(error, RuntimeError) and any(text in str(error) for text in told)


def _text(error: Exception) -> str:
    """Return what an error says, in a worker or here."""
    # str() of a KeyError is the repr of its key.
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    found = _OF_A_WORKER.search(text)
    return found['text'] if found else text


def _frames(error: Exception) -> list[FrameType]:
    return [frame for frame, _ in traceback.walk_tb(error.__traceback__)]


def _raised_in(error: Exception) -> str:
    if found := _OF_A_WORKER.search(str(error)):
        path = found['file'].removesuffix('.py').replace('/', '.')
        names = [name for name in _REFUSING if f'.{name}.' in f'{path}.']
        return max(names, key=len, default='')
    frames = _frames(error)
    return frames[-1].f_globals.get('__name__', '') if frames else ''


def _built(error: Exception) -> str | None:
    """Return the type that a registry was building when the error was raised, or None."""
    for frame in reversed(_frames(error)):
        if frame.f_globals.get('__name__') == 'mmengine.registry.build_functions':
            kind = frame.f_locals.get('obj_type', 'a part')
            return kind if isinstance(kind, str) else getattr(kind, '__name__', str(kind))
    return None


def _interprets(error: Exception) -> bool:
    """Tell whether settings were being taken as they stand in a config."""
    names = (frame.f_globals.get('__name__', '') for frame in _frames(error))
    return any(_is_within(name, _INTERPRETING) for name in names)


def _is_within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f'{package}.') for package in packages)
