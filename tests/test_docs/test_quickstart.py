# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The commands of docs/quickstart.md, run one after the other on a folder of images."""

import json

import pytest

from nasiam_mm.cli.main import dispatch
from tests.reduced import ROOT
from tests.test_datasets.photos import write_photos
from tests.test_docs.shown import blocks, commands

PAGE = ROOT / 'docs/quickstart.md'
# What a GPU is for comes under this heading.
LONG = '## In earnest'

pytestmark = pytest.mark.slow


def test_the_quick_start_runs_as_it_is_written(tmp_path, monkeypatch, pictures):
    text = PAGE.read_text(encoding='utf-8')
    short = tmp_path / 'short.md'
    short.write_text(text[: text.index(LONG)])
    shown = [words for _, _, code in blocks(short) for words in commands(code)]
    assert [words[1] for words in shown] == [
        'data', 'check', 'search', 'draw', 'train', 'train', 'probe', 'probe', 'export',
    ]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    # The least that fills a batch of each part.
    write_photos(tmp_path / 'photos', ('cat', 'dog', 'emu'), per_class=36)
    for words in shown:
        assert words[0] == 'nasiam'
        dispatch(words[1:])
    for name in ('head.png', 'backbone.pth', 'work_dirs/search/alpha.png'):
        assert (tmp_path / name).stat().st_size > 1000, name
    for head in ('searched', 'standard'):
        row = json.loads((tmp_path / f'{head}.json').read_text())
        # A colour a class, told apart by any features.
        assert row['knn']['val_top1'] > 90 and row['num_classes'] == 3
        assert [few['fraction'] for few in row['few_labels']] == [0.1]
