# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Rows stand with their logs only."""

from benchmarks.papers.rows import read_row, write_log
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
