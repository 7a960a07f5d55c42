# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The console of a real run: few lines, each known; all else in the log; a bar; Ctrl-C."""

import os
import pty
import re
import select
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from nasiam_mm.cli.main import _again
from nasiam_mm.engine.hooks.console_hook import _begun
from nasiam_mm.report.pictures import alpha_curves, genotype_drawing
from nasiam_mm.wording import counted
from tests.forked import _run, run_forked
from tests.reduced import ROOT, light, reduced

TRAIN = ROOT / 'tools/train.py'
EPOCHS = 2
TERMS = ('kNN', 'z std', 'effective rank', 'entropy', 'margin', 'data wait')
FIGURES = (
    r'loss [\d.]+(, kNN [\d.]+ %)?, z std [\d.]+, effective rank [\d.]+, entropy [\d.]+ nats, '
    r'margin [\d.]+, data wait [\d.]+ %'
)
KNOWN = (
    r'searching a head: SimCLR, 2 epochs of \d+ iterations, CPU, seed 0',
    r'data: \S+ in \S+, \d+ images to train on',
    r'log: \S+\.log',
    *(rf'  {term}: .{{20,90}}' for term in TERMS),
    r'untrained: kNN [\d.]+ %',
    rf'epoch 1/2: {FIGURES}, left \d+:\d\d',
    rf'epoch 2/2: {FIGURES}',
    rf'done: 2 of 2 epochs in \d+:\d\d, {FIGURES}',
    r'results in \S+: epoch_2\.pth, genotype\.json, genotype\.png, alpha\.png, contributions\.json',
    r'the report is \S+report\.html',
    r'warning: this CPU has no bfloat16: training in float32',
    r'warning: \d records of alpha are too few to tell .* from noise: .*',
    r'warning: Epoch \d projector layers? .* ties? with .*; the first in the space was taken',
)


@pytest.mark.parametrize(
    ('groups', 'said'),
    [
        (['projector', 'predictor'], 'searching a head'),
        (['normal', 'reduction'], 'searching a backbone'),
        (['backbone', 'projector'], 'searching a backbone and a head'),
        (None, 'training'),
    ],
)
def test_the_first_line_says_what_is_searched(groups, said):
    owner = None if groups is None else SimpleNamespace(choices=dict.fromkeys(groups))
    assert _begun(SimpleNamespace(architecture=owner)) == said


def small_search(folder, **more):
    cfg = light(reduced('nasiam/simclr_r18_search_cifar10_demo', folder / 'work', EPOCHS))
    cfg.merge_from_dict(more)
    config = folder / 'small.py'
    cfg.dump(config)
    return config


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp('console')
    config = small_search(folder)
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((alpha_curves, 'plot_alpha'), (genotype_drawing, 'draw_genotype')):
            patch.setattr(module, name, lambda *args: Path(args[-1]).write_bytes(b'drawn'))
        done = run_forked(TRAIN, config)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_lines_are_few_and_each_is_known(finished):
    _, done = finished
    lines = done.stdout.splitlines()
    assert not [line for line in lines if not any(re.fullmatch(k, line) for k in KNOWN)]
    assert len(lines) <= 15 + 2 * EPOCHS
    assert done.stderr == ''
    # What begins stands first but for warnings, where things lie last.
    said = [line for line in lines if not line.startswith('warning: ')]
    assert said[0].startswith('searching') and said[-2].startswith('results in')
    assert said[-1].startswith('the report is')


def test_a_term_is_explained_before_its_first_figure(finished):
    lines = finished[1].stdout.splitlines()
    for term in TERMS:
        [told] = [n for n, line in enumerate(lines) if line.startswith(f'  {term}: ')]
        first = min(n for n, line in enumerate(lines) if re.search(rf'[:,] {term} [\d.]', line))
        assert told < first


def test_the_log_file_holds_all(finished):
    folder, done = finished
    [path] = folder.glob('work/*/*.log')
    log = path.read_text()
    for part in (
        'System environment:', 'Config:\n', 'optim_wrapper = dict(', 'Checkpoints will be saved',
        'Hooks will be executed in the following order:', 'Epoch(train) [2]', 'health: entropy',
    ):  # fmt: skip
        assert part in log
        assert part not in done.stdout
    assert f'log: {path}' in done.stdout.splitlines()


def test_verbose_brings_the_log_back(tmp_path):
    config = small_search(tmp_path, probe=None, **{'train_cfg.max_epochs': 1})
    done = run_forked(TRAIN, config, '--verbose')
    assert done.returncode == 0, done.stderr
    assert 'System environment:' in done.stdout and 'Hooks will be executed' in done.stdout
    assert 'searching a head' not in done.stdout


def on_a_terminal(*argv, interrupt_at: bytes = b''):
    """Run the tool with a terminal of its own; its status and all it wrote."""
    main, end = pty.openpty()
    process = os.fork()
    if process == 0:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _run([str(TRAIN), *map(str, argv)], ROOT, {'TERM': 'xterm', 'COLUMNS': '120'}, end, end)
    os.close(end)
    told, ends = b'', time.monotonic() + 60
    while time.monotonic() < ends:
        if select.select([main], [], [], 0.2)[0]:
            try:
                told += os.read(main, 65536)
            except OSError:  # all ends are closed
                break
        if interrupt_at and interrupt_at in told:
            os.kill(process, signal.SIGINT)
            interrupt_at = b''
    os.close(main)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    return status, told.decode().replace('\r\n', '\n')


def test_a_terminal_gets_a_bar_and_ctrl_c_says_what_was_saved_and_how_to_go_on(tmp_path):
    config = small_search(tmp_path, probe=None)
    status, told = on_a_terminal(config, '--resume', interrupt_at=b'epoch 1/2')
    assert status == 130
    # A first run that may be resumed is told so without an alarm.
    begun = f'no checkpoint in {tmp_path}/work: starting from the beginning'
    assert begun in told.splitlines()
    last = [line for line in re.split(r'[\n\r]', told) if line.strip()][-1]
    path = tmp_path / 'work/interrupted.pth'
    found = re.search(
        rf'SIGINT: stopped after iteration (\d+) of \d+ \(epoch (\d) of 2\); {path} written; '
        rf'go on with: nasiam train {config} --resume$',
        last,
    )
    assert found, last

    status, told = on_a_terminal(config, '--resume')
    assert status == 0, told
    assert f'resuming from {path}, after {counted(found[1], "iteration")} (' in told
    assert re.search(r'epoch 2/2 .*%.*loss [\d.]+.* left \d+:\d\d \(epoch \d+:\d\d\)', told)
    assert 'epoch 2/2: ' not in told
    assert 'done: 2 of 2 epochs' in told
    # The cursor is never hidden, so that a kill leaves the terminal as it was.
    assert '\x1b[?25l' not in told


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['a b.py'], "nasiam train 'a b.py' --resume"),
        (['a.py', '--resume'], 'nasiam train a.py --resume'),
        (['--resume', 'e.pth', 'a.py', '--seed', '1'], 'nasiam train a.py --seed 1 --resume'),
        (['a.py', '--resume=e.pth', '--amp'], 'nasiam train a.py --amp --resume'),
    ],
)
def test_the_command_goes_on_from_the_latest(words, told):
    assert _again('nasiam train', words) == told


def test_a_launcher_has_to_start_it_again(monkeypatch):
    monkeypatch.setenv('WORLD_SIZE', '2')
    assert _again('nasiam train', ['a.py']) is None
