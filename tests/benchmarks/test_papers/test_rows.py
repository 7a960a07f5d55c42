# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Rows stand with their logs only; logs join over interruptions."""

import json

import pytest

from benchmarks.papers.rows import (
    environment,
    merge_logs,
    read_row,
    training_metrics,
    write_log,
)
from nasiam_mm.files.atomic import write_json


def write_run(folder, **changes):
    sha256 = write_log([{'loss': 1.0, 'step': 1}], folder / 'log.jsonl')
    row = {'config_sha256': 'abc', 'log': 'log.jsonl', 'log_sha256': sha256, **changes}
    write_json(row, folder / 'row.json')


def test_a_row_stands_with_its_log(tmp_path):
    write_run(tmp_path)
    assert read_row(tmp_path)['log'] == 'log.jsonl'
    assert read_row(tmp_path, 'abc') is not None
    assert read_row(tmp_path, 'another configuration') is None


def test_a_row_without_its_log_does_not_stand(tmp_path):
    write_run(tmp_path)
    (tmp_path / 'log.jsonl').unlink()
    assert read_row(tmp_path) is None


def test_a_row_with_another_log_does_not_stand(tmp_path):
    write_run(tmp_path)
    with (tmp_path / 'log.jsonl').open('a') as file:
        file.write('{"loss": 0.5, "step": 2}\n')
    assert read_row(tmp_path) is None


def test_a_row_stands_with_the_logs_of_its_measures_too(tmp_path):
    sha256 = write_log([{'loss': 2.0}], tmp_path / 'detection.jsonl')
    write_run(tmp_path, measure_logs={'detection.jsonl': sha256})
    assert read_row(tmp_path) is not None
    (tmp_path / 'detection.jsonl').write_text('{"loss": 1.0}\n')
    assert read_row(tmp_path) is None
    (tmp_path / 'detection.jsonl').unlink()
    assert read_row(tmp_path) is None


def test_half_a_row_does_not_stand(tmp_path):
    write_run(tmp_path)
    text = (tmp_path / 'row.json').read_text()
    (tmp_path / 'row.json').write_text(text[: len(text) // 2])
    assert read_row(tmp_path) is None
    assert read_row(tmp_path / 'nowhere') is None


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


def test_metrics_are_the_last_ones():
    log = [
        {'loss': 5.0, 'epoch': 1, 'step': 10, 'collapse/std': 0.1},
        {'knn/val_top1': 20.0, 'epoch': 1, 'step': 10},
        {'loss': 2.0, 'epoch': 2, 'step': 20, 'collapse/std': 0.5},
        {'loss': 1.0, 'epoch': 2, 'step': 30, 'collapse/effective_rank': 7.0},
        {'knn/val_top1': 30.0, 'epoch': 2, 'step': 30},
    ]
    assert training_metrics(log) == {
        'loss': 1.5, 'std': 0.5, 'effective_rank': 7.0, 'knn_val': 30.0,
    }  # fmt: skip


def test_the_environment_names_device_and_versions():
    found = environment()
    assert found['versions']['onedl-mmengine'].startswith('0.10')
    assert found['device']
