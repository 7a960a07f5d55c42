# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is committed under docs/results stays readable, of whichever version it is."""

import json
import re

from benchmarks.papers.rows import ROW, read_row
from nasiam_mm.architecture.reading import load_genotype
from tests.reduced import ROOT

RUNS = sorted(path.parent for path in (ROOT / 'docs/results').rglob(ROW))


def test_every_committed_row_stands_with_its_log():
    assert len(RUNS) == 43
    for run in RUNS:
        row = read_row(run)
        assert row is not None and row['run'] == run.name
        assert row['versions']['nasiam_mm'] == '0.1.0' and row['metrics']


def test_committed_genotypes_are_read():
    genotypes = [run / 'genotype.json' for run in RUNS if (run / 'genotype.json').is_file()]
    assert len(genotypes) == 37
    for genotype in genotypes:
        load_genotype(genotype)


def test_the_frameworks_page_tells_what_their_demos_measured():
    page = (ROOT / 'docs/frameworks.md').read_text(encoding='utf-8')
    section = page.partition('## At demo scale')[2].partition('## ')[0]
    told = dict(re.findall(r'^\| (\w[\w ]*) ((?:\| [\d.]+ ){4})\|$', section, re.MULTILINE))
    told = {name.replace(' ', '').lower(): figures for name, figures in told.items()}
    found = {}
    for path in (ROOT / 'docs/results/demo_frameworks').glob('*/summary.json'):
        rows = json.loads(path.read_text(encoding='utf-8'))['rows']
        figures = {row['head']: row['knn_top1'] for row in rows}
        order = 'untrained', 'searched', 'standard', 'random'
        found[path.parent.name] = ''.join(f'| {figures[head]:.2f} ' for head in order)
        for head in order[1:]:
            log = path.with_name(f'{head}.scalars.json').read_text(encoding='utf-8')
            last = [json.loads(line) for line in log.splitlines()][-1]
            assert last['knn/val_top1'] == figures[head]
    assert told == found and len(found) == 5
