# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The test images, read once and at the end, by trainings that were decided on before (C10)."""

import json
from pathlib import Path

from mmengine.config import Config

from nasiam_mm.runs.commands import CONSOLE, last_line, run_command
from nasiam_mm.runs.store import TRAIN, Row, RunFailed, checkpoint_of

PROBE = (*TRAIN[:-1], 'probe')
OUT = 'test.json'


def read_test(folder: Path, row: Row, cfg: Config) -> float:
    """Classify the test images by the backbone of a finished training; kNN top-1 in percent.

    Raises:
        RunFailed: If that ends with an error.
    """
    out = folder / OUT
    if not out.is_file():
        neighbours = ('--k', cfg.probe.get('k', 200), '--temperature', cfg.probe.temperature)
        command = [*PROBE, folder / 'config.py', checkpoint_of(folder, row), '--split', 'test']
        command += [*neighbours, '--l2', 1e-2, '--fractions', '--out', out]
        with (folder / CONSOLE).open('a', encoding='utf-8') as console:
            status = run_command([str(word) for word in command], console)
        if status:
            raise RunFailed(f'the test images were not read: {last_line(folder)}')
    return json.loads(out.read_text(encoding='utf-8'))['knn']['test_top1']
