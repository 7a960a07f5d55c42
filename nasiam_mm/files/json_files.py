# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""JSON files, written whole or not at all."""

import json
import os
from typing import Any

from nasiam_mm.files.atomic import atomic_path


def write_json(data: Any, path: str | os.PathLike) -> None:
    """Write data as indented JSON in UTF-8; the folder is made."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2) + '\n', encoding='utf-8')
