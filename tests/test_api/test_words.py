# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Refusals in the words of who reads them: options of a command, or arguments of a function.

All texts of the package that name an option and that a call of ``nasiam_mm.api`` may come to are
looked through: what is left of options is of a command alone, and is listed here.
"""

import ast
import re
from pathlib import Path

import pytest

from nasiam_mm.api.quiet import named_as_arguments
from nasiam_mm.wording import in_python
from tests.reduced import ROOT

CASES = {
    '--size must be from 32 to 224 pixels, got 3': 'size must be from 32 to 224 pixels, got 3',
    "--out: 'a' is there; take another --out": "out: 'a' is there; take another out=",
    'replace them, or pass over them: --skip-unreadable': 'replace them, or pass over them: '
    'skip_unreadable=True',
    'or use --labels none': "or use labels='none'",
    'export it with --layout mmengine': "export it with layout='mmengine'",
    'o: holds recipes for --framework simclr, not byol': "o: holds recipes for framework='simclr', "
    'not byol',
    'o: holds recipes for --size 32, not 64': 'o: holds recipes for size=32, not 64',
    'run a search first, or pass --genotype FILE': 'run a search first, or pass genotype=FILE',
    'leave --val, --test and --labels out': 'leave val=, test= and labels= out',
    '--cfg-options: nothing reads': 'options: nothing reads',
    'take another --work-dir, or remove this one': 'take another out=, or remove this one',
    'go on with it by --resume': 'go on with it by the same call',
    'go on by --resume --extend': 'go on by nasiam with --resume --extend',
    # Commands, other options and folders of such names are left as they are.
    "run 'nasiam data cifar10 --root --out x'": "run 'nasiam data cifar10 --root --out x'",
    'tries: nasiam report a --out b; take another --out': 'tries: nasiam report a --out b; take '
    'another out=',
    '--launcher mpi needs an accelerator': '--launcher mpi needs an accelerator',
    "'/a/b--out/c' is no folder": "'/a/b--out/c' is no folder",
    'nothing to say': 'nothing to say',
}  # fmt: skip


@pytest.mark.parametrize(('text', 'told'), CASES.items())
def test_options_become_arguments(text, told):
    assert in_python(text) == told


def test_a_refusal_keeps_its_kind():
    for kind in (ValueError, FileNotFoundError):
        with pytest.raises(kind, match='^size must be'), named_as_arguments():
            raise kind('--size must be')
    with pytest.raises(FileNotFoundError) as of_the_system, named_as_arguments():
        Path('/no/--out').read_text()
    assert of_the_system.value.errno == 2 and '--out' in str(of_the_system.value)


# Rooms and files that no call comes to, or that write commands for a shell.
OTHERS = (
    'cli/commands/', 'cli/main', 'cli/launch', 'cli/workers', 'cli/study', 'cli/evaluated',
    'cli/asked', 'cli/as_given', 'cli/ending', 'detection/', 'datasets/prepare',
    'datasets/download', 'datasets/describing', 'datasets/published/', 'report/page/',
    'report/neighbours', 'engine/hooks/frozen_hook', 'study/testing', 'study/address',
    'study/storage', 'runs/store', 'console/', 'wording',
)  # fmt: skip
# Options that only a command takes, in texts that a call may come to: these say so.
OF_A_COMMAND = {
    '--extend': 'the epochs of a run that has ended are other ones in a shell',
    '--resume': 'beside --extend',
    '--config': 'to nasiam export',
    '--pretrain-config': 'to nasiam detect',
    '--auto-scale-lr': 'a line of the log',
    '--launcher': 'a call is one process',
    '--amp': 'no argument asks for it',
    '--root': 'of nasiam data, in its command',
}


def texts(path):
    """Return the texts of a file that are no documentation and no declared option."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    docs = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, 'id', '') in ('add', 'flag'):
            docs |= {id(word) for word in ast.walk(node)}
        if isinstance(node, ast.Call) and getattr(node.func, 'attr', '') == 'add_argument':
            docs |= {id(word) for word in ast.walk(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            yield node.value


def test_no_refusal_that_a_call_comes_to_names_an_option():
    seen, left = 0, {}
    for path in sorted((ROOT / 'nasiam_mm').rglob('*.py')):
        name = path.relative_to(ROOT / 'nasiam_mm').as_posix()
        if name.startswith(OTHERS) or '.mim' in name:
            continue
        for text in texts(path):
            if options := re.findall(r'(?<![\w-])--[a-z][a-z-]+', text):
                seen += len(options)
                for option in re.findall(r'(?<![\w-])--[a-z][a-z-]+', in_python(text)):
                    left.setdefault(option, []).append((name, text))
    assert seen > 40
    assert {option: found for option, found in left.items() if option not in OF_A_COMMAND} == {}
