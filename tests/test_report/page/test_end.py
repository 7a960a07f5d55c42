# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A search ends with its page, and is not ended by it; what looks neighbours up alone."""

import json
import shutil
from types import SimpleNamespace

import pytest

from nasiam_mm.cli.main import dispatch
from nasiam_mm.report.page import write
from nasiam_mm.report.page.facts import read_facts
from tests.test_report.page.folders import make_search
from tests.test_report.page.reading import Page


def test_a_real_search_leaves_its_page(finished_search):
    folder = finished_search[0] / 'work'
    page = Page((folder / 'report.html').read_text())
    facts = read_facts(folder)
    assert facts.faults == {} and facts.epochs == (2, 2) and facts.settings['seed'] == 5
    for name in ('verdict', 'genotype', 'alpha', 'health', 'curves', 'collapse', 'neighbours'):
        assert 'No ' not in page.told(name).replace('No verdict yet', ''), name
    for layer in range(len(facts.genotype.of('projector'))):
        assert f'projector {layer}' in page.told('alpha')
    found = facts.neighbours
    assert found['epoch'] == 2 and 1 < len(found['images']) <= 8
    for row in found['images']:
        cosines = [near['cosine'] for near in row['neighbours']]
        assert cosines == sorted(cosines, reverse=True) and all(-1 <= c <= 1 for c in cosines)
    # One of each class comes first.
    labels = [row['label'] for row in found['images']]
    assert len(set(labels)) == len(labels)
    (log,) = folder.glob('*/*.log')
    assert f'the report is {folder / "report.html"}' in log.read_text()


@pytest.fixture
def copied(finished_search, tmp_path):
    return shutil.copytree(finished_search[0] / 'work', tmp_path / 'work')


def test_neighbours_from_a_checkpoint_are_those_of_the_end(copied, tmp_path, capsys):
    kept = json.loads((copied / 'neighbours.json').read_text())
    (copied / 'neighbours.json').unlink()
    dispatch(['report', str(copied), '--neighbours', '--out', str(tmp_path / 'page.html')])
    assert capsys.readouterr().out.endswith(f'wrote {tmp_path / "page.html"}\n')
    # The command looks them up by the run's seed too, in a process that trained nothing.
    assert json.loads((copied / 'neighbours.json').read_text()) == kept


def test_what_goes_wrong_at_the_end_is_a_line(copied, monkeypatch):
    runner = SimpleNamespace(hooks=[], work_dir=str(copied))

    def fails(*args):
        raise MemoryError('no room\nleft')

    monkeypatch.setattr(write, 'page_of', fails)
    line = write.write_after(runner)
    assert line == f'no report was written (MemoryError: no room left); nasiam report {copied} ' \
        'tries again'  # fmt: skip
    hooks = SimpleNamespace(hooks=None, work_dir=str(copied))
    assert write.write_after(hooks).startswith('no neighbours were looked up (TypeError')


@pytest.mark.parametrize(
    ('prepare', 'message'),
    [
        (lambda folder: (folder / 'small.py').unlink(), 'holds 0 configs, and needs one'),
        (lambda folder: [p.unlink() for p in folder.glob('*.pth')], 'holds no whole checkpoint'),
    ],
)
def test_what_neighbours_need(copied, prepare, message):
    prepare(copied)
    with pytest.raises(ValueError, match=message):
        dispatch(['report', str(copied), '--neighbours'])


def test_a_folder_of_results_stands_for_its_first_run(tmp_path, capsys):
    out = tmp_path / 'photos'
    for name in ('search', 'baseline'):
        (make_search(out / name) / 'owner.json').write_text('{}')
    (out / 'preset.json').write_text('{}')
    dispatch(['report', str(out)])
    first, second = capsys.readouterr().out.splitlines()
    assert first == f'wrote {out / "baseline/report.html"}'
    assert second == f'told by pages of their own: {out / "search"}'


def test_the_page_is_html(copied, tmp_path):
    with pytest.raises(ValueError, match='must end in .html'):
        dispatch(['report', str(copied), '--out', str(tmp_path / 'a.png')])
    genotype = str(copied / 'genotype.json')
    with pytest.raises(ValueError, match='is to be written and is what is read'):
        dispatch(['report', genotype, '--out', genotype])
