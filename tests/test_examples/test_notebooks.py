# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: the notebooks run from a fresh folder, one after the other, and hold no output.

Cell by cell in one namespace, and through nbclient, as a user runs them, where it is installed.
"""

import ast
import json
from importlib.util import find_spec

import pytest

from tests.reduced import ROOT

FOLDER = ROOT / 'examples/notebooks'
IN_ORDER = ('search.ipynb', 'embeddings.ipynb')


def run_cells(cells: list[dict]) -> list:
    """Run code cells in one namespace; return the value that each would show, or None."""
    names, shown = {'__name__': '__main__'}, []
    for cell in cells:
        tree = ast.parse(''.join(cell['source']))
        last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, 'cell', 'exec'), names)
        value = None if last is None else ast.Expression(last.value)
        shown.append(value and eval(compile(value, 'cell', 'eval'), names))
    return shown


def code_cells(name: str) -> list[dict]:
    notebook = json.loads((FOLDER / name).read_text(encoding='utf-8'))
    assert notebook['nbformat'] == 4
    return [cell for cell in notebook['cells'] if cell['cell_type'] == 'code']


def test_all_notebooks_are_run_and_hold_no_output():
    assert {path.name for path in FOLDER.glob('*.ipynb')} == set(IN_ORDER)
    cells = [cell for name in IN_ORDER for cell in code_cells(name)]
    assert all(not cell['outputs'] and cell['execution_count'] is None for cell in cells)


@pytest.fixture(scope='module')
def ran(tmp_path_factory):
    """Run the cells of all notebooks in a fresh folder: the folder, what each cell shows."""
    folder = tmp_path_factory.mktemp('notebooks')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, [run_cells(code_cells(name)) for name in IN_ORDER]


def test_the_notebooks_run_one_after_the_other(ran):
    folder, shown = ran
    names, found, genotype = shown[0][1:4]
    assert (
        'simclr' in names[0] and '<svg' in found._repr_html_() and '<svg' in genotype._repr_svg_()
    )
    (shape, labels, _), agreement = shown[1][0], shown[1][1]
    assert shape == (60, 128) and labels == ('blue',) * 3
    assert agreement > 0.9  # colours are told apart by any features
    assert shown[1][-1] > 10_000 and (folder / 'shapes.npz').is_file()


@pytest.mark.skipif(
    not all(find_spec(name) for name in ('nbclient', 'nbformat', 'ipykernel')),
    reason='nbclient is not installed',
)
def test_the_notebooks_run_in_a_kernel(ran):
    """What was trained is there: the same calls return it at once, and the outputs are drawn."""
    import nbclient
    import nbformat

    # One kernel, whose start takes most of the time; each notebook imports all it needs.
    first, *others = (nbformat.read(FOLDER / name, as_version=4) for name in IN_ORDER)
    first.cells += [cell for notebook in others for cell in notebook.cells]
    resources = {'metadata': {'path': str(ran[0])}}
    nbclient.NotebookClient(first, timeout=300, resources=resources).execute()
    shown = [output for cell in first.cells for output in cell.get('outputs', ())]
    assert not [output for output in shown if output.output_type == 'error']
    assert any('<svg' in output.get('data', {}).get('text/html', '') for output in shown)
