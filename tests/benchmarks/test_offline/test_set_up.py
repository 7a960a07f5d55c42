# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""set_up.py as it runs on a bare machine: a script, the standard library, parts that trickle in."""

import ast
import io
import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from benchmarks.offline import set_up
from benchmarks.offline.parts import cut, write_manifest, write_tar

PYTHON = f'{sys.version_info.major}.{sys.version_info.minor}'
WHEEL = 'lacking-1.0-py3-none-any.whl'
CODE = {
    'nasiam_mm/__init__.py': '',
    'nasiam_mm/engine.py': 'import lacking',
    'tools/analysis_tools/collect_env.py': 'import lacking; print("lacking:", lacking.VERSION)',
}


def write_pack(folder, work, python=PYTHON, code=CODE):
    """Write a pack of a small package that needs one wheel."""
    shutil.rmtree(folder, ignore_errors=True)
    for path in (folder, work):
        path.mkdir(parents=True, exist_ok=True)
    for name, text in {**code, 'train.npy': 'the images ' * 100}.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    with zipfile.ZipFile(work / WHEEL, 'w') as wheel:
        # An entry made so is of 1980, and two packs are the same.
        wheel.writestr(zipfile.ZipInfo('lacking.py'), 'import purely; VERSION = 1.0')
        wheel.writestr(zipfile.ZipInfo('lacking-1.0.data/purelib/purely.py'), '')
    write_tar(folder / set_up.CODE, [(name, work / name) for name in code])
    write_tar(folder / set_up.DATA, [('cifar10/train.npy', work / 'train.npy')])
    write_tar(folder / set_up.WHEELS, [(WHEEL, work / WHEEL)], compress=False)
    names = (set_up.CODE, set_up.DATA, set_up.WHEELS)
    payloads = {name: cut(folder / name, folder, 400) for name in names}
    write_manifest(folder, payloads, commit='abc', dirty=False, python=python)
    return sorted(path.name for path in folder.glob('*.gz.*'))


@pytest.fixture
def pack(tmp_path):
    """A pack, and the names of its parts."""
    return tmp_path / 'pack', write_pack(tmp_path / 'pack', tmp_path / 'work')


def call(folder, into):
    """Run set_up.py from a folder of parts, as its own file."""
    shutil.copyfile(set_up.__file__, folder / 'set_up.py')
    command = [sys.executable, str(folder / 'set_up.py'), '--into', into.name]
    run = subprocess.run(command, cwd=into.parent, capture_output=True, text=True)
    return run.returncode, run.stdout, run.stderr


def test_it_needs_the_standard_library_alone():
    tree = ast.parse(Path(set_up.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = [
        name.split('.')[0]
        for node in imports
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else
                     [alias.name for alias in node.names])
    ]  # fmt: skip
    assert len(names) > 10
    assert set(names) <= sys.stdlib_module_names


def test_parts_come_in_any_order_over_several_calls(pack, tmp_path):
    source, names = pack
    assert len(names) > 4
    arrived, box = tmp_path / 'arrived', tmp_path / 'box'
    first, second = names[1::2], names[::2]
    for number, part in enumerate((first, second)):
        shutil.rmtree(arrived, ignore_errors=True)
        arrived.mkdir()
        for name in (*part, set_up.MANIFEST):
            shutil.copyfile(source / name, arrived / name)
        status, out, err = call(arrived, box)
        if number == 0:
            assert status == set_up.EX_TEMPFAIL
            assert f'{len(second)} parts are missing: ' in err
            assert set(err.split(': ')[1].split()) == set(second)
            assert not (box / 'code').exists()
    assert (status, err) == (0, '')
    assert 'lacking: 1.0' in out and 'commit: abc' in out
    assert (box / 'code/data/cifar10/train.npy').read_text().startswith('the images')
    assert (box / 'code/COMMIT').read_text() == 'abc\n'
    assert list((box / 'parts').iterdir()) == []
    code = 'import nasiam_mm.engine, torch; print(nasiam_mm.__file__)'
    run = subprocess.run(
        [box / 'venv/bin/python', '-c', code], capture_output=True, text=True, check=True,
        cwd=tmp_path, env={},
    )  # fmt: skip
    # What the first Python has is seen, the code is the pack's.
    assert run.stdout.strip() == str(box / 'code/nasiam_mm/__init__.py')

    # Again, without any part: nothing is done.
    for name in arrived.glob('*.gz.*'):
        name.unlink()
    times = {
        path: path.stat().st_mtime_ns for path in (box / 'state.json', box / 'venv/pyvenv.cfg')
    }
    status, again, _ = call(arrived, box)
    assert status == 0 and again == out[out.index('lacking: 1.0') :]
    assert times == {path: path.stat().st_mtime_ns for path in times}

    # Other code comes alone; data and environment stay.
    other = {**CODE, 'nasiam_mm/more.py': 'THERE = 1'}
    del other['nasiam_mm/engine.py']
    other['nasiam_mm/engine/__init__.py'] = 'import lacking'
    write_pack(source, tmp_path / 'work2', code=other)
    for name in (*source.glob('code*'), source / set_up.MANIFEST):
        shutil.copyfile(name, arrived / name.name)
    status, out, _ = call(arrived, box)
    assert status == 0 and 'unpacking code' in out and 'unpacking data' not in out
    assert (box / 'code/nasiam_mm/more.py').is_file()
    assert not (box / 'code/nasiam_mm/engine.py').exists()
    assert (box / 'code/data/cifar10/train.npy').is_file()


def test_a_damaged_part_is_refused_and_not_kept(pack, tmp_path):
    source, names = pack
    content = (source / names[1]).read_bytes()
    (source / names[1]).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    status, _, err = call(source, tmp_path / 'box')
    assert status == 2 and f'{names[1]} is damaged' in err
    assert not (tmp_path / 'box/parts' / names[1]).exists()
    assert not (tmp_path / 'box/code').exists()


def test_a_part_of_an_earlier_pack_counts_as_missing(pack, tmp_path):
    source, names = pack
    kept = tmp_path / 'box/parts'
    kept.mkdir(parents=True)
    size = (source / names[0]).stat().st_size
    (kept / names[0]).write_bytes(b'x' * size)
    (source / names[0]).unlink()
    status, _, err = call(source, tmp_path / 'box')
    assert (status, err) == (set_up.EX_TEMPFAIL, f'1 parts are missing: {names[0]}\n')


def test_a_pack_for_another_python_is_refused(tmp_path):
    write_pack(tmp_path / 'pack', tmp_path / 'work', python='2.7')
    status, _, err = call(tmp_path / 'pack', tmp_path / 'box')
    assert status == 2 and f'the pack is for Python 2.7, this is {PYTHON}' in err
    assert not (tmp_path / 'box').exists()


@pytest.mark.parametrize('content', ['{', '[]', json.dumps({'format': 0, 'payloads': {}})])
def test_what_is_no_manifest_is_refused(tmp_path, content):
    (tmp_path / set_up.MANIFEST).write_text(content)
    with pytest.raises(ValueError, match='manifest'):
        set_up.read_manifest(tmp_path)


@pytest.mark.parametrize('name', ['../outside', '/outside', 'a/../../outside'])
def test_nothing_is_unpacked_outside(tmp_path, name):
    archive = tmp_path / 'odd.tar.gz'
    with tarfile.open(archive, 'w:gz') as tar:
        info = tarfile.TarInfo(name)
        info.size = 1
        tar.addfile(info, io.BytesIO(b'x'))
    with pytest.raises(ValueError, match='no file inside the archive'):
        set_up.unpack(archive, tmp_path / 'a/b/odd')
    assert not list(tmp_path.rglob('outside'))


def test_an_environment_that_does_not_work_is_told(tmp_path):
    write_pack(
        tmp_path / 'pack', tmp_path / 'work', code={**CODE, 'nasiam_mm/engine.py': 'import no'}
    )
    status, _, err = call(tmp_path / 'pack', tmp_path / 'box')
    assert status == 2
    assert (
        err
        == "error: the new environment does not work: ModuleNotFoundError: No module named 'no'\n"
    )
