# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a user says of recipes for images, and what of it cannot be, by itself or beside others.

Nothing here needs torch: a wrong word is refused before that is imported.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nasiam_mm.datasets.source import NO_LABELS
from nasiam_mm.files.marks import PRESET
from nasiam_mm.files.regular import read_json
from nasiam_mm.files.shipped import framework_names
from nasiam_mm.wording import no_such

PHASES = ('search', 'pretrain', 'baseline')
DEFAULT_FRAMEWORK = 'simclr'
SIZES = (32, 48, 64, 96, 128, 160, 192, 224)  # of views, pixels, that are chosen


@dataclass(frozen=True)
class Asked:
    """What a user says of a recipe for images; None leaves it to the preset.

    Attributes:
        data: Folder of the images.
        framework: One of :func:`framework_names`; SimCLR.
        backbone: See :func:`nasiam_mm.presets.backbone.find_backbone`; a ResNet-18, on a CPU a
            quarter as wide.
        val: Folder of validation images.
        test: Folder of test images.
        labels: CSV of files and labels, or ``'none'``.
        size: Height and width of the views, pixels.
        skip_unreadable: Whether broken files are left out.
    """

    data: str
    framework: str | None = None
    backbone: str | Mapping[str, Any] | None = None
    val: str | None = None
    test: str | None = None
    labels: str | None = None
    size: int | None = None
    skip_unreadable: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it, folders by their full names."""
        plain = asdict(self)
        for name in ('data', 'val', 'test', 'labels'):
            if plain[name] is not None and plain[name] != NO_LABELS:
                plain[name] = os.path.abspath(plain[name])
        plain['skip_unreadable'] = self.skip_unreadable or None
        return json.loads(json.dumps(plain))


def refuse_asked(out: Path | str, asked: Asked) -> dict[str, Any] | None:
    """Refuse what is known to be impossible before an image is looked at.

    Args:
        out: Folder of results.
        asked: What is wanted.

    Returns:
        What was asked for, and its files, of recipes that are there; None without any.

    Raises:
        FileNotFoundError: If a folder or the CSV is not there.
        ValueError: If a text is empty, there is no such framework, the size is out of range, or
            the folder holds recipes for else.
    """
    for name, value in {'out': out, **vars(asked)}.items():
        if value is not None and not isinstance(value, (bool, int, Mapping)) and not str(value):
            raise ValueError(f'--{name} is empty; say what is meant, or leave it out')
    check_flag('skip_unreadable', asked.skip_unreadable)
    if os.path.realpath(out) == os.path.realpath(asked.data):
        told = 'is the folder of the images, into which nothing is written'
        raise ValueError(f"--out: '{out}' {told}; take another --out")
    if (record := read_record(Path(out))) is not None:
        _refuse_other(Path(out), record, asked)
        return record
    if asked.framework is not None and asked.framework not in (known := framework_names()):
        raise ValueError(no_such('framework', asked.framework, known))
    check_size(asked.size)
    refuse_missing(asked.data)
    for part, folder in {'val': asked.val, 'test': asked.test}.items():
        if folder is not None and not os.path.isdir(folder):
            raise FileNotFoundError(f"--{part}: '{folder}' does not exist, or is no folder")
    labels = asked.labels
    if labels is not None and labels != NO_LABELS and not os.path.isfile(labels):
        raise FileNotFoundError(f"--labels: '{labels}' does not exist, or is no file")
    return None


def refuse_missing(data: Path | str) -> None:
    """Raise a FileNotFoundError unless there is a folder of that name."""
    if not os.path.isdir(data):
        raise FileNotFoundError(f"'{data}' does not exist, or is no folder of images")


def check_flag(name: str, value: Any) -> None:
    """Refuse, with a ValueError, what is neither True nor False; None is no word on it."""
    if value not in (None, False, True):
        raise ValueError(f'{name}: {value!r:.40} is no True or False')


def check_size(size: Any) -> None:
    """Refuse, with a ValueError, a size of views that is not from 32 to 224; None is one."""
    if size is not None and (not isinstance(size, int) or not SIZES[0] <= size <= SIZES[-1]):
        told = f'must be from {SIZES[0]} to {SIZES[-1]} pixels'
        raise ValueError(f'--size {told}, got {size!r:.40}')


def read_record(out: Path) -> dict[str, Any] | None:
    """Read what recipes in a folder are for, None where there are none; ValueError if broken."""
    path = out / PRESET
    if not path.exists():
        return None
    try:
        record = read_json(path)
        if set(record['files']) != set(PHASES) or not isinstance(record['asked'], dict):
            raise ValueError('not the record of recipes')
        if gone := [name for name in record['files'].values() if not (out / name).is_file()]:
            raise ValueError(f'its recipe {gone[0]} is not there any more')
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        told = ' '.join(str(error).split())
        raise ValueError(f'{path}: {told:.150}; take another --out, or remove it') from error
    return record


def _refuse_other(out: Path, record: dict[str, Any], asked: Asked) -> None:
    # What is by default may be said as well.
    now, then = (
        asked.as_json(),
        {'framework': DEFAULT_FRAMEWORK}
        | {name: value for name, value in record['asked'].items() if value is not None},
    )
    for field in fields(asked):
        name, value = field.name, now[field.name]
        if value is not None and value != then.get(name):
            flag, before = f'--{name.replace("_", "-")}', then.get(name)
            there = f'for {flag} {before}, not {value}'
            if before is None:
                there = f'made without {flag}' if value is True else f'without {flag}, not {value}'
            mend = f'take another --out, or edit and run the recipes in {out}'
            raise ValueError(f'{out}: holds recipes {there}; {mend}')
