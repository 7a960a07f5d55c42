# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A pack is the same for the same content, whole or absent, and holds what a machine lacks."""

import json
import os
import subprocess

import pytest

from benchmarks.offline import packing, wheels
from benchmarks.offline.parts import cut, join_parts, replacing, write_manifest, write_tar
from benchmarks.offline.set_up import digest
from benchmarks.offline.wheels import HAVE, Package, check_pure, needed


def test_equal_content_is_equal_bytes(tmp_path):
    file = tmp_path / 'file'
    file.write_bytes(os.urandom(5000))
    sums = set()
    for number in range(2):
        os.utime(file, (number, number))
        write_tar(tmp_path / 'a.tar.gz', [('file', file)])
        sums.add(digest(tmp_path / 'a.tar.gz'))
    assert len(sums) == 1


@pytest.mark.parametrize(('size', 'number'), [(1, 1), (1000, 1), (1001, 2), (3000, 3)])
def test_parts_join_to_the_whole(tmp_path, size, number):
    content = os.urandom(size)
    parts = tmp_path / 'parts'
    parts.mkdir()
    (parts / 'whole').write_bytes(content)
    entry = cut(parts / 'whole', parts, 1000)
    write_manifest(parts, {'whole': entry})
    assert [part['size'] for part in entry['parts']][:-1] == [1000] * (number - 1)
    assert len(entry['parts']) == number
    out = tmp_path / 'out'
    assert join_parts(parts, out) == [out / 'whole']
    assert (out / 'whole').read_bytes() == content
    assert [path.name for path in out.iterdir()] == ['whole']


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda path: path.unlink(), 'parts are missing: whole.001'),
        (lambda path: path.write_bytes(b'x' * path.stat().st_size), 'whole.001 is damaged'),
    ],
)
def test_parts_that_are_not_right_join_to_nothing(tmp_path, damage, message):
    parts = tmp_path / 'parts'
    parts.mkdir()
    (parts / 'whole').write_bytes(os.urandom(2500))
    write_manifest(parts, {'whole': cut(parts / 'whole', parts, 1000)})
    damage(parts / 'whole.001')
    with pytest.raises(ValueError, match=message):
        join_parts(parts, tmp_path / 'out')
    assert not (tmp_path / 'out/whole').exists()


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / 'pack'
    with replacing(folder) as fresh:
        write_manifest(fresh, {}, number=1)
    with pytest.raises(KeyError), replacing(folder) as fresh:
        write_manifest(fresh, {}, number=2)
        raise KeyError
    assert json.loads((folder / 'manifest.json').read_text())['number'] == 1
    assert [path.name for path in tmp_path.iterdir()] == ['pack']
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine/file').touch()
    with pytest.raises(ValueError, match='no folder of parts'), replacing(tmp_path / 'mine'):
        pass
    assert (tmp_path / 'mine/file').exists()


def item(name, *needs, source=False):
    url = f'https://host/{name}' + ('-1.tar.gz' if source else '-1-py3-none-any.whl')
    metadata = {'name': name, 'version': '1', 'requires_dist': list(needs)}
    return {'metadata': metadata, 'download_info': {'url': url}}


REPORT = {
    'install': [
        item('Frame_Work', 'torch', 'opencv-python', 'Plain.Thing[extra]>=1', source=True),
        item('plain-thing', 'new; python_version >= "3.12"', 'old; python_version < "3.8"',
             'never; extra == "all"'),
        item('opencv-python-headless', 'numpy>=2'),
        item('new'),
        item('torch', 'only-for-torch'),
        item('only-for-torch'),
    ]
}  # fmt: skip


def test_what_is_needed_is_found_and_nothing_else():
    found = needed(REPORT, ['frame-work>=1', 'torch>=2'], HAVE, '3.12')
    assert found == [
        Package('frame-work', '1', True),
        Package('new', '1', False),
        Package('opencv-python-headless', '1', False),
        Package('plain-thing', '1', False),
    ]
    names = [package.name for package in needed(REPORT, ['frame-work'], HAVE, '3.11')]
    assert 'new' not in names
    # Without anything there, what torch needs is needed too; numpy is not in the report.
    with pytest.raises(ValueError, match=r'opencv-python-headless needs numpy on Python 3.12'):
        needed(REPORT, ['frame-work'], ('torch',), '3.12')


def test_a_marker_is_of_the_other_python():
    roots = ['new; python_version >= "3.12"', 'absent; python_version < "3.8"']
    assert needed(REPORT, roots, HAVE, '3.12') == [Package('new', '1', False)]
    assert needed(REPORT, roots, HAVE, '3.11') == []


def test_a_wheel_built_for_this_machine_is_refused(tmp_path):
    check_pure([tmp_path / 'a-1-py3-none-any.whl'])
    with pytest.raises(ValueError, match='holds compiled code'):
        check_pure([tmp_path / 'a-1-cp312-cp312-linux_x86_64.whl'])


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository of one commit with data, and wheels that need no network."""
    root = tmp_path / 'project'
    (root / 'data/cifar10').mkdir(parents=True)
    for name in packing.CIFAR10:
        (root / 'data/cifar10' / name).write_text(name)
    (root / '.gitignore').write_text('/data/\n')
    (root / 'code.py').write_text('first')
    name = ['-c', 'user.name=n', '-c', 'user.email=e']
    for command in (['init', '-q'], ['add', '.'], [*name, 'commit', '-qm', 'first']):
        subprocess.run(['git', '-C', root, *command], check=True)

    def gather(root, folder, have, python, platforms):
        (folder / 'a-1-py3-none-any.whl').write_text(python)
        return [folder / 'a-1-py3-none-any.whl']

    monkeypatch.setattr(packing, 'gather_wheels', gather)
    # git stash needs a name too.
    for field in ('AUTHOR', 'COMMITTER'):
        monkeypatch.setenv(f'GIT_{field}_NAME', 'n')
        monkeypatch.setenv(f'GIT_{field}_EMAIL', 'e')
    return root


def make(root, out, **more):
    return packing.pack(root, out, '3.12', root / 'data/cifar10', part_mib=1e-4, **more)


def test_the_same_commit_makes_the_same_pack(project, tmp_path):
    first, second = (make(project, tmp_path / name) for name in ('one', 'two'))
    assert first == second
    assert (
        first['commit']
        == subprocess.check_output(['git', '-C', project, 'rev-parse', 'HEAD'], text=True).strip()
    )
    assert (first['dirty'], first['python']) == (False, '3.12')
    sizes = [part['size'] for p in first['payloads'].values() for part in p['parts']]
    assert max(sizes) <= 104 and len(sizes) > 3
    on_disk = {path.name for path in (tmp_path / 'one').iterdir()}
    listed = {part['name'] for p in first['payloads'].values() for part in p['parts']}
    assert on_disk == listed | {'manifest.json', 'set_up.py'}


def test_changes_are_packed_only_when_asked_for(project, tmp_path):
    before = make(project, tmp_path / 'pack')
    (project / 'code.py').write_text('second')
    with pytest.raises(ValueError, match=r'the tree has 1 changes \(M code.py'):
        make(project, tmp_path / 'pack')
    after = make(project, tmp_path / 'pack', is_dirty_taken=True)
    assert after['dirty'] and after['commit'] == before['commit']
    same = packing.unchanged(before, after)
    assert not any(name.startswith('code') for name in same)
    assert {name.split('.')[0] for name in same} == {'data', 'wheels'}
    (code, *_) = [p for p in join_parts(tmp_path / 'pack', tmp_path / 'o') if 'code' in p.name]
    shown = subprocess.check_output(['tar', '-xzOf', code, 'code.py'], text=True)
    assert shown == 'second'


def test_without_data_nothing_is_packed(project, tmp_path):
    (project / 'data/cifar10/source.json').unlink()
    with pytest.raises(FileNotFoundError, match=r'lacks source.json; make data brings it'):
        make(project, tmp_path / 'pack')
    assert not (tmp_path / 'pack').exists()


def test_what_pip_says_is_told():
    with pytest.raises(RuntimeError, match=r'pip download failed: ERROR: .*no_such_requirement'):
        wheels._pip('download', '--no-index', 'no_such_requirement')
