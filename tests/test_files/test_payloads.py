# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Nothing that a checkpoint brings is run, whichever entry point reads it (contract C11).

1. Every form of payload is refused by the reader, in one line, before torch reads the file.
2. Every tool refuses one given to it, by path and by http address.
3. The config text in a checkpoint is data: neither its Python nor what it names is called.
4. A small file that asks for much is refused before anything is allocated.
"""

import io
import runpy
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from mmengine.runner import CheckpointLoader, checkpoint

from nasiam_mm.export import read_pretrained
from nasiam_mm.files.checkpoint import UnsafeCheckpointError, read_checkpoint
from tests.checkpoints import save, training_state
from tests.reduced import ROOT, reduced
from tests.test_detection.toy_detection import write_checkpoint
from tests.test_files.payloads import (
    GREEDY,
    PARTS,
    RUNNING,
    TEXTS,
    write_greedy,
    write_running,
)


@pytest.fixture
def trace(tmp_path, monkeypatch):
    """A folder that a payload would make."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(torch.hub, 'get_dir', lambda: str(tmp_path / 'hub'))
    trace = tmp_path / 'ran'
    yield trace
    assert not trace.exists()


@pytest.fixture
def address(tmp_path):
    """Return the http address of a file of tmp_path."""
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        yield lambda path: f'http://127.0.0.1:{server.server_port}/{path.name}?a=1'
        server.shutdown()


@pytest.mark.parametrize('kind', RUNNING)
def test_a_payload_is_refused_and_does_not_run(kind, trace, tmp_path, monkeypatch):
    path = tmp_path / 'evil.pth'
    write_running(kind, path, trace)
    monkeypatch.setattr(torch, 'load', None)
    with pytest.raises(ValueError, match=r"checkpoint '.*evil.pth' is ") as caught:
        read_checkpoint(path)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 500
    # What mmengine's readers of local files and of other stores call.
    for source in (str(path), io.BytesIO(path.read_bytes())):
        with pytest.raises(ValueError):
            checkpoint._safe_torch_load(source, map_location='cpu')


def test_payloads_are_real(tmp_path):
    """Read without care, they run."""
    for kind in ('zip', 'legacy', 'array'):
        write_running(kind, tmp_path / 'evil.pth', tmp_path / kind)
        torch.load(tmp_path / 'evil.pth', weights_only=False)
        assert (tmp_path / kind).is_dir()


def run_tool(capsys, monkeypatch, script, *argv):
    """Run a tool in this process; return the line in which it refuses."""
    monkeypatch.setattr(sys, 'argv', [script, *map(str, argv)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / 'tools' / script), run_name='__main__')
    assert ended.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith('error: ')
    return line


@pytest.fixture
def config(tmp_path):
    """Path of a reduced search."""
    cfg = reduced('nasiam/simclr_r18_search_cifar10_demo', tmp_path / 'work', epochs=1)
    cfg.dump(tmp_path / 'small.py')
    return tmp_path / 'small.py'


PRETRAINED = 'model.backbone.init_cfg.type=Pretrained', 'model.backbone.init_cfg.checkpoint='
CIFAR_LINEAR = ROOT / 'configs/benchmarks/linear/r18_cifar10_linear_demo.py'
DETECTOR = ROOT / 'configs/detection/mask-rcnn_r18-fpn_cifar10det_demo.py'
# Tool and arguments; {0} is the checkpoint.
ENTRIES = {
    'resume': ('train.py', '{config}', '--resume', '{0}'),
    'pretrained': ('train.py', CIFAR_LINEAR, '--checkpoint', '{0}'),
    'load_from': ('train.py', '{config}', '--cfg-options', 'load_from={0}'),
    'init_cfg': ('train.py', '{config}', '--cfg-options', PRETRAINED[0], PRETRAINED[1] + '{0}'),
    'test': ('test.py', '{config}', '{0}'),
    'export': ('model_converters/export_backbone.py', '{0}', '{out}'),
    'detection': ('benchmarks/detection_transfer.py', DETECTOR, '{0}', '--dry-run'),
    'features': ('benchmarks/evaluate_features.py', '{config}', '{0}'),
    'map': ('analysis_tools/embedding_map.py', '{config}', '{0}'),
    'neighbours': ('analysis_tools/nearest_neighbours.py', '{config}', '{0}'),
}


@pytest.mark.parametrize('by_address', [False, True], ids=['path', 'address'])
@pytest.mark.parametrize('entry', ENTRIES)
def test_every_tool_refuses(
    entry, by_address, trace, tmp_path, config, address, capsys, monkeypatch
):
    path = tmp_path / 'evil.pth'
    script, *argv = ENTRIES[entry]
    for kind in ('zip', 'legacy', 'tar'):
        write_running(kind, path, trace)
        given = f'{address(path)}&{kind}' if by_address else str(path)
        argv_ = [str(a).format(given, config=config, out=tmp_path / 'out.pth') for a in argv]
        line = run_tool(capsys, monkeypatch, script, *argv_)
        assert given in line and ('is refused' in line or 'is cut short' in line)
    assert not (tmp_path / 'out.pth').exists()


def test_auto_resume_refuses(trace, tmp_path, config, capsys, monkeypatch):
    (tmp_path / 'work').mkdir()
    write_running('zip', tmp_path / 'work/epoch_3.pth', trace)
    line = run_tool(capsys, monkeypatch, 'train.py', config, '--resume')
    assert "epoch_3.pth' is refused: it holds posix.mkdir" in line


GUARDED = """
import os, sys
import torch.distributed.optim  # most of what both orders take; neither ours nor mmengine's

for order in (sys.argv[2:], sys.argv[:1:-1]):
    if os.fork():
        assert os.wait()[1] == 0
        continue
    for name in order:
        __import__(name)
    from mmengine.runner.checkpoint import _load_checkpoint
    try:
        _load_checkpoint(sys.argv[1])
    except Exception as error:
        print(type(error).__name__, flush=True)
    os._exit(0)
"""


def test_mmengine_alone_is_guarded_once_the_package_is_imported(trace, tmp_path):
    """A process of its own: nothing but the package and mmengine, in either order."""
    write_running('zip', tmp_path / 'evil.pth', trace)
    done = subprocess.run(
        [sys.executable, '-c', GUARDED, tmp_path / 'evil.pth', 'nasiam_mm', 'mmengine.runner'],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines().count('UnsafeCheckpointError') == 2


def test_text_that_a_resumed_run_would_evaluate_is_left_out(trace, tmp_path):
    """mmengine's Runner.resume evaluates ``meta.config``."""
    state = training_state(3)
    state['meta']['config'] = f'__import__("os").mkdir({str(trace)!r})'
    torch.save(state, tmp_path / 'a.pth')
    assert 'config' not in CheckpointLoader.load_checkpoint(str(tmp_path / 'a.pth'))['meta']


def with_text(path, text):
    checkpoint = torch.load(write_checkpoint(path, type='ResNet_CIFAR', depth=18))
    checkpoint['meta']['cfg'] = text
    torch.save(checkpoint, path)
    return path


BACKBONE = "model = dict(backbone=dict(type='ResNet_CIFAR', depth=18))\n"


@pytest.mark.parametrize('kind', TEXTS)
@pytest.mark.parametrize('before', [True, False])
def test_config_text_is_data(kind, before, trace, tmp_path):
    text = TEXTS[kind].format(trace=str(trace))
    path = with_text(tmp_path / 'a.pth', text + BACKBONE if before else BACKBONE + text)
    with pytest.raises(ValueError, match=r'line \d.*give the config that trained it by --config'):
        read_pretrained(path)


@pytest.mark.parametrize('kind', PARTS)
def test_config_text_builds_registered_parts_only(kind, trace, tmp_path):
    text = f'model = dict(backbone={PARTS[kind].format(trace=str(trace))})'
    path = with_text(tmp_path / 'a.pth', text)
    with pytest.raises(ValueError, match='give the config that trained it by --config'):
        read_pretrained(path).build()


def test_imports_and_bases_of_a_config_text_are_not_followed(trace, tmp_path, monkeypatch):
    (tmp_path / 'evil_module.py').write_text(f'import os\nos.mkdir({str(trace)!r})\n')
    monkeypatch.syspath_prepend(tmp_path)
    text = f"_base_ = ['{tmp_path}/evil_module.py']\ncustom_imports = dict(imports='evil_module')\n"
    assert read_pretrained(with_text(tmp_path / 'a.pth', text + BACKBONE)).cfg['depth'] == 18


@pytest.mark.parametrize(
    'kind',
    [
        *(*GREEDY, 'packed', 'two_lists', 'two_names'),
        *(f'legacy_{kind}' for kind in ('bytes', 'storage', 'expanded', 'nested_twice')),
    ],
)
def test_a_small_file_that_asks_for_much_is_refused(kind, tmp_path, monkeypatch):
    path = tmp_path / 'a.pth'
    write_greedy(kind, path)
    monkeypatch.setattr(torch, 'load', None)
    with pytest.raises(UnsafeCheckpointError) as caught:
        read_checkpoint(path)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 500


def test_two_addresses_with_one_name_are_two_files(trace, tmp_path, address):
    (tmp_path / 'b').mkdir()
    save(tmp_path, 'epoch.pth', 1)
    save(tmp_path / 'b', 'epoch.pth', 2)
    one = address(tmp_path / 'epoch.pth')
    other = one.replace('/epoch', '/b/epoch')
    found = [read_checkpoint(a)['meta']['iter'] for a in (one, other, one + '&b', one)]
    assert found == [1, 2, 1, 1]
    # Once per address: what was there is read again without the server's.
    save(tmp_path, 'epoch.pth', 3)
    assert read_checkpoint(one)['meta']['iter'] == 1
    # What no longer has the digest it came with is fetched anew.
    for file in (tmp_path / 'hub').rglob('epoch.pth'):
        file.write_bytes(b'PK')
    assert read_checkpoint(one)['meta']['iter'] == 3


def test_an_address_without_a_file_is_one_line(trace, tmp_path, address):
    with pytest.raises(OSError, match=r"checkpoint 'http://.*' cannot be downloaded: .*404"):
        read_checkpoint(address(tmp_path / 'none.pth'))
    assert not list((tmp_path / 'hub').rglob('*.pth'))
