# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Runs side by side: what differs is told, what is the same is not; paired figures are exact."""

import json

import numpy as np
import pytest

from nasiam_mm.architecture.genotype import Decision, save_genotype
from nasiam_mm.cli.main import dispatch
from nasiam_mm.report.page.compare import differing, name_apart, overview
from nasiam_mm.report.page.facts import read_facts
from nasiam_mm.report.page.write import write_comparison, write_page
from tests.test_report.page.folders import OPS, genotype, make_search
from tests.test_report.page.reading import Page


@pytest.fixture
def pair(tmp_path):
    return make_search(tmp_path / 'a/run'), make_search(tmp_path / 'b/run', knn=40.0, seed=8)


def test_two_runs(pair, tmp_path, capsys):
    out = tmp_path / 'both.html'
    dispatch(['diff', *map(str, pair), '--out', str(out)])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == ' | a/run | b/run' and 'kNN top-1 % (val) | 34 | 44' in lines
    assert 'seed | 7 | 8' in lines and lines[-1] == f'wrote {out}'
    page = Page(out.read_text())
    assert page.told('settings').endswith('seed 7 8')
    assert 'differs' not in page.told('genotypes')
    for name in ('curves', 'collapse', 'health'):
        assert 'a/run' in page.told(name) and 'b/run' in page.told(name)


def test_heads_that_differ(tmp_path, capsys):
    one, two = tmp_path / 'one.json', tmp_path / 'two.json'
    save_genotype(genotype(), one)
    other = genotype().decisions['projector.0.op']
    found = genotype()
    found.decisions['projector.1.op'] = other
    save_genotype(found, two)
    dispatch(['diff', str(one), str(two), '--out', str(tmp_path / 'heads.html')])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [' | one | two', f'projector.1.op | {OPS[2]} | {OPS[0]}']
    assert len(lines) == 3  # what is the same is not told
    rows = Page((tmp_path / 'heads.html').read_text()).told('genotypes')
    first, second = rows.split('projector.1.op')
    assert first.endswith('same ') and second.endswith('differs')
    assert OPS[2] in second and OPS[0] in second


def test_report_and_diff_call_a_layer_alike(tmp_path):
    found = genotype()
    identity = Decision(OPS, ('identity',), (0.0, 0.0, 0.0, 1.0))
    found.decisions['projector.0.op'] = identity
    found.provenance['decided_at']['projector'][0] = [256, 512, False]
    save_genotype(found, path := tmp_path / 'one.json')
    write_comparison([path, path], tmp_path / 'heads.html')
    write_page(path)
    compared = Page((tmp_path / 'heads.html').read_text()).told('genotypes')
    alone = Page((tmp_path / 'one.html').read_text()).told('genotype')
    assert compared.count('identity, here linear') == alone.count('identity, here linear') == 2


def test_settings_that_differ(pair):
    runs = [read_facts(path) for path in pair]
    assert differing(runs) == {'seed': [7, 8]}
    assert differing([runs[0], runs[0]]) == {}


def test_final_images_are_paired(pair):
    rng = np.random.default_rng(0)
    flags = [rng.random(1000) < rate for rate in (0.4, 0.5)]
    for folder, right in zip(pair, flags, strict=True):
        told = {'top1': 100 * float(right.mean()), 'images': 1000, 'k': 200, 'temperature': 0.1,
                'epoch': 4, 'correct': np.packbits(right).tobytes().hex()}  # fmt: skip
        (folder / 'final.json').write_text(json.dumps(told))
    runs = [read_facts(path) for path in pair]
    name_apart(runs)
    text = ' '.join(Page(f'<div id="x">{overview(runs)}</div>').told('x').split())
    gained, lost = int((flags[1] & ~flags[0]).sum()), int((flags[0] & ~flags[1]).sum())
    mean = (gained - lost) / 1000
    error = 100 * (((gained + lost) / 1000 - mean**2) / 999) ** 0.5
    told = f'b/run less a/run {100 * mean:+.2f} {error:.2g} {gained} {lost}'
    assert told.replace(' ', '') in text.replace(' ', '')


def test_names_are_made_to_differ(pair):
    runs = [read_facts(pair[0]), read_facts(pair[1]), read_facts(pair[0])]
    name_apart(runs)
    assert len({facts.name for facts in runs}) == 3


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['a'], 'diff compares two to eight, got 1'),
        (['a', 'b', '--out', 'x.png'], 'must end in .html'),
    ],
)
def test_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        dispatch(['diff', *arguments])
