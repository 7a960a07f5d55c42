# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A table of a user is one file beside their own model, and edits no other.

Its one row is planned, trained by the project's tools in processes of their own, measured and
rendered; the training finds the model that stands beside the table.
"""

import json

import pytest

from benchmarks.papers.catalogue import find_table, import_tables, table_names
from tests.forked import run_forked
from tests.reduced import ROOT, reduced

MODEL = """
from torch import nn

from nasiam_mm.registry import MODELS


@MODELS.register_module()
class PlainProjector(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, x):
        return (self.linear(x[-1].mean((2, 3))),)
"""
TABLE = '''
from benchmarks.papers.catalogue import TABLES
from benchmarks.papers.edits import put
from benchmarks.papers.spec import Recipe, Row, Table


@TABLES.register_module(name='plain-projector')
def plain_projector(scale: str) -> Table:
    """SimCLR with a linear projector."""
    plain = (
        put('custom_imports', dict(imports=['own_model'])),
        put('model.neck', dict(type='PlainProjector', in_channels=64, out_channels=64)),
    )
    return Table(
        'SimCLR with a linear projector',
        (Row('plain', Recipe('{config}', plain)),),
        {{'knn_fixed_test': 'kNN top-1', 'loss': 'last loss'}},
        fractions=(0.1,),
    )
'''


@pytest.fixture
def folder(tmp_path):
    """A folder of a user: a recipe, a model and a table."""
    cfg = reduced('nasiam/simclr_r18_baseline_cifar10_demo', tmp_path)
    cfg.pop('work_dir')
    cfg.dump(tmp_path / 'own_recipe.py')
    (tmp_path / 'own_model.py').write_text(MODEL)
    table = TABLE.format(config=tmp_path / 'own_recipe.py')
    (tmp_path / 'own_table.py').write_text(table)
    return tmp_path


def run(folder, *arguments):
    words = ['plain-projector', '--work-dir', 'work', '--file', 'own_table.py', *arguments]
    # The tools that it calls are processes of their own, as ever.
    done = run_forked('benchmarks.papers', *words, folder=folder, PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_table_of_ones_own_is_made(folder):
    made = run(folder, '--seeds', '5')
    (run_folder,) = (folder / 'work/runs').iterdir()
    assert run_folder.name.startswith('own_recipe-standard-seed5-')
    row = json.loads((run_folder / 'row.json').read_text())
    assert row['changes']['model.neck.type'] == 'PlainProjector'
    assert f'| plain | 1 | {row["metrics"]["knn_fixed_test"]:.2f} |' in made
    assert 'python -m benchmarks.papers plain-projector --scale demo --file own_table.py' in made


def test_a_module_registers_tables_as_well(folder, monkeypatch):
    (folder / 'own_module.py').write_text(
        'from benchmarks.papers.catalogue import TABLES\n'
        'from benchmarks.papers.spec import Table\n'
        "@TABLES.register_module(name='empty')\n"
        "def empty(scale):\n    return Table('Nothing', (), {'loss': 'loss'})\n"
    )
    monkeypatch.syspath_prepend(folder)
    import_tables('own_module')
    assert find_table('empty', 'demo').title == 'Nothing'
    assert 'heads' in table_names()


@pytest.mark.parametrize(
    ('source', 'error', 'message'),
    [
        ('none.py', FileNotFoundError, "file of tables 'none.py' does not exist"),
        ('no_such_module', ValueError, "tables 'no_such_module' cannot be imported"),
        ('broken.py', ValueError, "tables 'broken' cannot be imported: .*broken.py, line 1"),
    ],
)
def test_what_is_no_file_of_tables_is_refused(source, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('PYTHONPATH', '')
    (tmp_path / 'broken.py').write_text('def\n')
    with pytest.raises(error, match=message):
        import_tables(source)
