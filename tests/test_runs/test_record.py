# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Logs join over interruptions; metrics are the last ones; the environment is named."""

import json
import os

import pytest

from nasiam_mm.runs.record import environment, merge_logs


def scalars(folder, name, *entries):
    file = folder / name / 'vis_data/scalars.json'
    file.parent.mkdir(parents=True)
    file.write_text(''.join(json.dumps(entry) + '\n' for entry in entries))
    return file


def test_logs_join_over_interruptions(tmp_path):
    first = [{'loss': 9.0, 'step': 1}, {'loss': 8.0, 'step': 2}, {'knn': 1.0, 'step': 2}]
    file = scalars(tmp_path, '2026_01', *first)
    with file.open('a') as half:
        half.write('{"loss": 7.')
    scalars(tmp_path, '2026_02', {'loss': 8.5, 'step': 2}, {'loss': 7.0, 'step': 3})
    assert merge_logs(tmp_path) == [
        {'loss': 9.0, 'step': 1},
        {'loss': 8.5, 'step': 2},
        {'knn': 1.0, 'step': 2},
        {'loss': 7.0, 'step': 3},
    ]
    with pytest.raises(FileNotFoundError, match='holds no log'):
        merge_logs(tmp_path / 'nowhere')


def test_the_environment_names_device_and_versions():
    found = environment()
    assert found['versions']['onedl-mmengine'].startswith('0.10')
    assert found['device']


def test_a_log_that_is_no_file_is_not_waited_for_and_odd_lines_are_passed_over(tmp_path):
    log = tmp_path / 'a/vis_data/scalars.json'
    log.parent.mkdir(parents=True)
    log.write_text('{"loss": 1, "step": 1}\n{"loss": 2, "step": [2]}\n' + '[' * 99_999 + '\n')
    assert merge_logs(tmp_path) == [{'loss': 1, 'step': 1}]
    log.unlink()
    os.mkfifo(log)
    with pytest.raises(ValueError, match='no regular file'):
        merge_logs(tmp_path)
