# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Imports go one way, and the package needs neither mmdet nor mmcv's compiled ops.

1. The contracts of pyproject.toml hold, and would not if a room imported a higher one.
2. Configs import nothing; tools the package and what it needs.
3. All but nasiam_mm.detection is importable where mmdet and mmcv.ops are absent.
4. ``import nasiam_mm``, the reading of a command line and the printing of a config load no torch.
5. What many imports make is no work for the garbage collector.
"""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run_python(*argv: str, folder: Path = ROOT) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *argv], cwd=folder, capture_output=True, text=True)


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    code = 'import sys; sys.path.insert(0, ""); from importlinter.cli import lint_imports_command'
    return run_python('-c', f'{code}; lint_imports_command(["--no-cache"])', folder=folder)


def test_imports_go_one_way():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ('file', 'line'),
    [
        ('nasiam_mm/ops/head.py', 'import nasiam_mm.models'),
        ('nasiam_mm/models/__init__.py', 'def f():\n    from ..engine import hooks'),
        ('nasiam_mm/evaluation/knn.py', 'from nasiam_mm import views'),
        ('nasiam_mm/probes/__init__.py', 'import benchmarks.papers'),
        ('nasiam_mm/cli/commands/test.py', 'from nasiam_mm.cli.commands import probe'),
        ('nasiam_mm/attic/__init__.py', ''),
    ],
)
def test_a_back_edge_is_found(tmp_path, file, line):
    for name in ('nasiam_mm', 'benchmarks'):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns('.mim'))
    shutil.copy(ROOT / 'pyproject.toml', tmp_path)
    (tmp_path / file).parent.mkdir(exist_ok=True)
    with (tmp_path / file).open('a', encoding='utf-8') as stream:
        stream.write(f'\n{line}\n')
    done = lint_imports(tmp_path)
    assert done.returncode == 1, done.stdout
    assert Path(file).parent.name in done.stdout


def imported(path: Path) -> set[str]:
    """Return the first words of what a file imports."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split('.')[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add('.' if node.level else (node.module or '').split('.')[0])
    return names


def test_configs_import_nothing_and_tools_what_is_installed():
    configs, tools = (sorted((ROOT / name).rglob('*.py')) for name in ('configs', 'tools'))
    assert configs and tools
    assert [path for path in configs if imported(path)] == []
    known = {'nasiam_mm', 'numpy', 'PIL', 'pycocotools', 'mmengine', 'matplotlib'}
    known |= {'mmcv', 'torch', *sys.stdlib_module_names}
    assert [path for path in tools if not imported(path) <= known] == []


BLOCKED_IMPORT = """
import importlib, importlib.abc, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('mmdet', 'benchmarks') or name in ('mmcv.ops', 'mmcv._ext'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Absent())
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_all_but_detection_needs_neither_mmdet_nor_compiled_ops():
    paths = [path.relative_to(ROOT) for path in sorted((ROOT / 'nasiam_mm').rglob('*.py'))]
    names = [
        '.'.join(path.with_suffix('').parts).removesuffix('.__init__')
        for path in paths
        if path.parts[1] not in ('detection', '__main__.py', '.mim')
    ]
    assert len(names) > 50
    done = run_python('-c', BLOCKED_IMPORT, *names)
    assert done.returncode == 0, done.stderr


def test_the_package_and_its_command_line_load_no_torch():
    code = 'import sys, nasiam_mm, nasiam_mm.cli.config; sys.exit("torch" in sys.modules)'
    assert run_python('-c', code).returncode == 0


def test_a_training_imports_no_detector_and_nothing_that_draws():
    code = (
        'import sys, nasiam_mm.engine\n'
        'from mmengine.registry import init_default_scope\n'
        'from nasiam_mm.registry import HOOKS, MODELS, DATASETS, OPTIMIZERS\n'
        'init_default_scope("nasiam_mm")\n'
        'for node in (HOOKS, MODELS, DATASETS, OPTIMIZERS): node.import_from_location()\n'
        'print(sorted({"mmdet", "matplotlib", "sklearn", "transformers"} & set(sys.modules)))\n'
    )
    done = run_python('-c', code)
    assert done.stdout.splitlines()[-1] == '[]', done.stderr


def test_a_config_is_printed_without_torch():
    code = (
        'import sys\n'
        'from nasiam_mm.cli.main import dispatch\n'
        'dispatch(["config", "nasiam/simsiam_r18_search_cifar10.py", "--data", "tests/data/cifar10"'
        '"_mini"])\n'
        'print(sorted({"torch", "mmpretrain"} & set(sys.modules)))\n'
    )
    done = run_python('-c', code)
    assert done.stdout.splitlines()[-1] == '[]', done.stderr
    assert '    mean=[' in done.stdout.splitlines()


def test_the_names_of_a_room_are_there_in_any_order():
    code = (
        'import nasiam_mm.datasets.describing, nasiam_mm.datasets as room\n'
        'assert callable(room.describe) and all(hasattr(room, name) for name in room.__all__)\n'
        'assert not hasattr(room, "nothing")\n'
        'from nasiam_mm.registry import DATASETS, DATA_SAMPLERS, TRANSFORMS\n'
        'assert DATASETS.get("Images") is room.Images and TRANSFORMS.get("DecodeCrops")\n'
        'assert DATA_SAMPLERS.get("ReplaySampler") is room.ReplaySampler\n'
    )
    assert run_python('-c', code).returncode == 0


def test_objects_of_an_import_are_old_and_what_is_frozen_stays():
    code = (
        'import gc\n'
        'from nasiam_mm.imports import uncollected\n'
        'def age(made):\n'
        '    return [n for n in range(3) if any(o is made for o in gc.get_objects(n))]\n'
        'with uncollected():\n'
        '    import wave\n'
        '    made = [[] for _ in range(5000)]\n'
        '    assert not gc.isenabled()\n'
        'assert gc.isenabled() and age(made) == [2] and not gc.get_freeze_count()\n'
        'gc.freeze()\n'
        'frozen = gc.get_freeze_count()\n'
        'with uncollected():\n'
        '    import colorsys\n'
        'assert gc.isenabled() and age(made) == [] and gc.get_freeze_count() >= frozen // 2\n'
    )
    done = run_python('-c', code)
    assert done.returncode == 0, done.stderr
