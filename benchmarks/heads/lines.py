# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Files of one JSON object a line, as the tables are: read with what each line must hold."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_MEND = 'take that line out, and make it again'
# Key -> what it holds, of a row of the table, of a row and a search of the contest, of a replay.
ROW = {'framework': str, 'scale': str, 'head': str, 'seed': int, 'decided': dict}
VERIFIED = {'framework': str, 'data_seed': int, 'arm': str, 'seed': int}
SEARCH = {'framework': str, 'data_seed': int, 'arm': str, 'seconds': float}
REPLAY = {'framework': str, 'scale': str, 'table': str, 'strategy': str, 'draw': int}
# Figures that no line may lack if its kind has them: percent, a number or one an epoch.
_SCORES = ('knn_test', 'linear_test')


def read_lines(path: Path, holds: Mapping[str, type]) -> list[dict[str, Any]]:
    """Read a file of objects, one a line; empty lines count for nothing.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: For what is no such object, with its line.
    """
    try:
        lines = path.read_text(encoding='utf-8').splitlines()
    except FileNotFoundError:
        raise FileNotFoundError(f'{path} does not exist; make it first, or name another') from None
    except UnicodeDecodeError as error:
        raise ValueError(f'{path} is no text of JSON lines: {error}') from None
    return [
        _checked(line, holds, f'{path}, line {number}')
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]


def _checked(line: str, holds: Mapping[str, type], where: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f'{where}: {error}; {_MEND}') from None
    if not isinstance(row, dict):
        raise ValueError(f'{where} is no object, but {line:.40}; {_MEND}')
    for key, kind in holds.items():
        if not isinstance(row.get(key), (int, float) if kind is float else kind):
            raise ValueError(f'{where} has no {key}, {kind.__name__}; {_MEND}')
    for key in _SCORES:
        figures = row.get(key, [0.0])
        for figure in figures if isinstance(figures, list) and figures else [figures]:
            if not isinstance(figure, (int, float)) or not math.isfinite(figure):
                raise ValueError(f'{where}: {key} is {figures!r:.40}, no numbers; {_MEND}')
    return row
