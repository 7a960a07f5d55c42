# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Imports go one way, and the package needs neither mmdet nor mmcv's compiled ops.

1. space <- models <- engine; views <- models, datasets; the rest stands alone but for what
   ALLOWED names.
2. Nothing imports tools, tests or configs; tools import nothing of each other; configs nothing.
3. mmdet is imported in nasiam_mm/detection only, when a module is loaded.
4. Everything else is importable where mmdet and mmcv.ops are absent.
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / 'nasiam_mm'
# What a part of the package may import beside itself and COMMON.
ALLOWED = {
    'models': {'space', 'views'},
    'engine': {'space', 'models', 'datasets', 'evaluation', 'visualization'},
    'datasets': {'views'},
    'evaluation': set(),
    'visualization': {'space'},
    'export': set(),
    'detection': {'datasets', 'export'},
    'benchmarks': {'space', 'datasets', 'evaluation', 'engine', 'visualization'},
}
COMMON = {'registry', 'utils', 'version'}
# The registries list the candidate operations, so the space stands below them.
LEAVES = {
    'registry': {'space'},
    'utils': set(),
    'version': set(),
    'space': {'utils', 'version'},
    'views': set(),
}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def imported(source: str, package: str, top_level_only: bool = False) -> Iterator[str]:
    """Yield the full names that a module of ``package`` imports, relative ones resolved."""
    tree = ast.parse(source)
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                anchor = package.split('.')[: len(package.split('.')) - node.level + 1]
                base = '.'.join([*anchor, *([node.module] if node.module else [])])
            yield from (f'{base}.{alias.name}' for alias in node.names)


def back_edges(name: str, source: str, is_package: bool = False) -> list[str]:
    """Name the imports that a module of nasiam_mm must not have."""
    package = name if is_package else name.rpartition('.')[0]
    part = name.split('.')[1] if '.' in name else ''
    if not part:
        allowed = {'utils', 'version', '__version__'}
    elif part in LEAVES:
        allowed = LEAVES[part] | {part}
    else:
        allowed = ALLOWED[part] | COMMON | {part}
    wrong = []
    for target in imported(source, package):
        first, second = (*target.split('.'), '')[:2]
        is_back = first == 'nasiam_mm' and second not in allowed
        if is_back or first in ('tools', 'tests', 'configs'):
            wrong.append(target)
    return wrong


FILES = sorted(PACKAGE.rglob('*.py'))


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_imports_go_one_way(path):
    assert back_edges(module_name(path), path.read_text(), path.name == '__init__.py') == []


@pytest.mark.parametrize(
    ('name', 'source'),
    [
        ('nasiam_mm.space.ops', 'from nasiam_mm.models import GenotypeMLP'),
        ('nasiam_mm.space.ops', 'from ..models.necks import GenotypeMLP'),
        ('nasiam_mm.space.ops', 'def f():\n    import nasiam_mm.engine.features'),
        ('nasiam_mm.models.necks.head_mlp', 'from ...engine import hooks'),
        ('nasiam_mm.models.necks.head_mlp', 'from nasiam_mm import engine'),
        ('nasiam_mm.evaluation.knn', 'from nasiam_mm.space import MixedLayer'),
        ('nasiam_mm.visualization.figure', 'import nasiam_mm.models'),
        ('nasiam_mm.datasets.cifar', 'import nasiam_mm.engine'),
        ('nasiam_mm.datasets.decode_crops', 'from nasiam_mm.models import TwoViewPreprocessor'),
        ('nasiam_mm.views.view_params', 'from nasiam_mm.registry import TRANSFORMS'),
        ('nasiam_mm.registry', 'from nasiam_mm.models import necks'),
        ('nasiam_mm.space.ops', 'from nasiam_mm.registry import MODELS'),
        ('nasiam_mm.utils.cli', 'import nasiam_mm.registry'),
        ('nasiam_mm.engine.features', 'from tests.reduced import reduced'),
        ('nasiam_mm', 'from nasiam_mm.models import GenotypeMLP'),
    ],
)
def test_a_back_edge_is_found(name, source):
    assert len(back_edges(name, source)) == 1


@pytest.mark.parametrize(
    ('name', 'source'),
    [
        ('nasiam_mm.models.necks.head_mlp', 'from nasiam_mm.space import GenotypeCell'),
        ('nasiam_mm.engine.features', 'from ..models import searched_cells'),
        ('nasiam_mm.engine.features', 'from nasiam_mm.registry import HOOKS'),
        ('nasiam_mm.space.ops', 'from .mixed_layer import MixedLayer'),
        ('nasiam_mm.datasets.decode_crops', 'from nasiam_mm.views import sample_crop_boxes'),
    ],
)
def test_a_forward_edge_is_none(name, source):
    assert back_edges(name, source) == []


def test_every_part_has_a_rule():
    parts = {path.name for path in PACKAGE.iterdir() if (path / '__init__.py').exists()}
    assert parts <= set(ALLOWED) | set(LEAVES)


@pytest.mark.parametrize('path', FILES, ids=module_name)
def test_mmdet_is_imported_in_detection_only(path):
    package = module_name(path.parent)
    if package != 'nasiam_mm.detection':
        names = imported(path.read_text(), package, top_level_only=True)
        assert [name for name in names if name.split('.')[0] == 'mmdet'] == []


def test_tools_import_no_tool_and_configs_nothing():
    tools = sorted((ROOT / 'tools').rglob('*.py'))
    assert tools
    siblings = {path.stem for path in tools} | {'tools', 'tests', 'configs'}
    for path in tools:
        first = {name.split('.')[0] for name in imported(path.read_text(), '')}
        assert first & siblings == set(), path
    for path in sorted((ROOT / 'configs').rglob('*.py')):
        assert list(imported(path.read_text(), '')) == [], path


BLOCKED_IMPORT = """
import importlib, importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'mmdet' or name in ('mmcv.ops', 'mmcv._ext'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Absent())
for name in sys.argv[1:]:
    importlib.import_module(name)
assert not [name for name in sys.modules if name.split('.')[0] == 'mmdet']
print(len(sys.argv) - 1, 'imported')
"""


def test_imports_without_mmdet_and_without_compiled_ops():
    names = [module_name(path) for path in FILES if 'detection' not in path.parts]
    command = [sys.executable, '-c', BLOCKED_IMPORT, *names]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f'{len(names)} imported'


def test_import_of_the_package_loads_no_torch():
    # Tools answer --help and refuse a mistyped option before the heavy imports.
    code = (
        'import sys, nasiam_mm, nasiam_mm.utils.cli, nasiam_mm.utils.config;'
        'print("torch" in sys.modules)'
    )
    command = [sys.executable, '-c', code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == 'False'
