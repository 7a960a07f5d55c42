# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is committed under docs/results stays readable, of whichever version it is."""

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
