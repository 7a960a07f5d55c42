# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam`` finds its commands, imports no more than it needs, and each tool is one of them."""

import importlib
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import SimpleNamespace

import pytest

import nasiam_mm.cli.commands
from nasiam_mm.cli import main
from tests.reduced import ROOT

# What is no command: a demonstration, its detection set, two figures of studies, a measurement.
SCRIPTS = (
    *('demo.py', 'make_cifar10_detection.py', 'embedding_map.py', 'nearest_neighbours.py'),
    'op_latency.py',
)
FILES = {path.stem for path in Path(nasiam_mm.cli.commands.__file__).parent.glob('*.py')}


def loaded_by(code: str) -> set[str]:
    """Return the packages that a fresh interpreter has imported after the code."""
    code += "\nprint('loaded', *sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, '-c', f'import sys\n{code}'], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_every_file_is_a_command_and_every_command_a_file(capsys):
    assert FILES - {'__init__'} == set(main.COMMANDS)
    with pytest.raises(SystemExit) as end:
        main.dispatch([])
    assert end.value.code == 0
    listed = capsys.readouterr().out
    for name in main.ALIASES:
        assert f'\n    {name}' in listed
        with pytest.raises(SystemExit):
            main.dispatch([name, '--help'])
        assert capsys.readouterr().out.startswith(f'usage: nasiam {name} ')
    for name in main.COMMANDS:
        module = importlib.import_module(f'nasiam_mm.cli.commands.{name}')
        assert callable(module.add_arguments) and callable(module.run) and module.__doc__
        assert f'\n    {name}' in listed


def test_the_list_of_commands_imports_next_to_nothing():
    code = (
        'from nasiam_mm.cli.main import dispatch\ntry: dispatch(["--help"])\nexcept SystemExit: 0'
    )
    assert loaded_by(code).isdisjoint({'torch', 'numpy', 'mmengine', 'mmcv', 'matplotlib'})


def test_no_help_waits_for_torch():
    code = 'from nasiam_mm.cli.main import COMMANDS, dispatch\nfor name in COMMANDS:'
    code += '\n  try: dispatch([name, "--help"])\n  except SystemExit as end: assert end.code == 0'
    assert 'torch' not in loaded_by(code)


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('trian', "nasiam has no command 'trian'; did you mean train? nasiam --help lists them"),
        ('xyzzy', "nasiam has no command 'xyzzy' nasiam --help lists them"),
    ],
)
def test_another_name_is_refused(name, message):
    with pytest.raises(ValueError) as caught:
        main.dispatch([name])
    assert str(caught.value) == message.replace("' nasiam", "'; nasiam")


def test_aliases_are_the_commands():
    for alias, name in main.ALIASES.items():
        assert main.load_command(alias) is main.load_command(name)


def test_other_distributions_bring_commands(monkeypatch, capsys):
    called = []
    module = SimpleNamespace(
        __doc__='Of another distribution.',
        add_arguments=lambda parser: parser.add_argument('--depth', type=int),
        run=lambda args: called.append(args.depth),
    )
    monkeypatch.setitem(sys.modules, 'another_distribution', module)
    entry = EntryPoint('table', 'another_distribution', main.GROUP)
    monkeypatch.setattr(main, 'entry_points', lambda group: [entry] if group == main.GROUP else [])
    main.dispatch(['table', '--depth', '3'])
    assert called == [3]
    with pytest.raises(SystemExit):
        main.dispatch(['--help'])
    assert '\n    table' in capsys.readouterr().out


def test_the_traceback_flag_goes_anywhere(monkeypatch):
    seen = []
    module = importlib.import_module('nasiam_mm.cli.commands.data')
    monkeypatch.setattr(module, 'run', seen.append)
    main.dispatch(['data', '--traceback', 'cifar10'])
    main.dispatch(['data', 'cifar10', '--traceback'])
    assert [args.action for args in seen] == ['cifar10', 'cifar10']


@pytest.mark.parametrize('path', sorted((ROOT / 'tools').rglob('*.py')), ids=lambda path: path.name)
def test_a_tool_is_a_command(path):
    text = path.read_text(encoding='utf-8')
    if path.name in SCRIPTS:
        assert '\nmain = as_main(__doc__, add_arguments, run)\n' in text
        return
    assert len(text.splitlines()) < 12
    words = text.split("tool('")[1].split("')")[0]
    assert words.split()[0] in main.COMMANDS
    assert text.splitlines()[1].startswith(f'"""``nasiam {words}``: ')


@pytest.mark.parametrize(
    'argv',
    [
        ['probe'],
        ['check', 'a.py', '--seed', 'x' * 5000],
        ['env', '--no-such'],
        ['data'],
        ['search', '--data', ''],
        ['search', '--out='],
    ],
)
def test_a_wrong_command_line_is_one_line(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main.dispatch(argv)
    [line] = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2 and len(line) <= 500
    assert line.startswith('error: ') and line.endswith('--help tells what it takes')
