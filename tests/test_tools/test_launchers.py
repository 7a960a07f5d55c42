# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The launchers hand their arguments on unchanged, and two processes on the CPU are one run."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import mock

import pytest

from nasiam_mm.runs import processes
from tests.reduced import ROOT, light, reduced

TOOLS = ROOT / 'tools'
# Stands for a program: writes down its arguments, one a line.
ECHO = '#!/bin/sh\nfor word; do echo "$word"; done\n'


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, 'PATH': f'{folder}:{os.environ["PATH"]}', **variables}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture
def programs(tmp_path):
    for name in ('python', 'srun'):
        (tmp_path / name).write_text(ECHO)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_dist_train_runs_torchrun(programs):
    done = run(
        programs, f'{TOOLS}/dist_train.sh', 'a config.py', '4', '--amp', '--work-dir', 'a folder',
        NNODES='2', NODE_RANK='1', PORT='2950', MASTER_ADDR='10.0.0.1',
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        '-m', 'nasiam_mm.cli.launch', '--nnodes=2', '--node_rank=1', '--master_addr=10.0.0.1',
        '--nproc_per_node=4', '--master_port=2950', f'{TOOLS}/train.py', 'a config.py',
        '--launcher', 'pytorch', '--amp', '--work-dir', 'a folder',
    ]  # fmt: skip


def test_dist_test_runs_torchrun(programs):
    done = run(programs, f'{TOOLS}/dist_test.sh', 'config.py', 'a file.pth', '2', '--split', 'test')
    assert done.stdout.splitlines()[-7:] == [
        f'{TOOLS}/test.py', 'config.py', 'a file.pth', '--launcher', 'pytorch', '--split', 'test',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ('script', 'fourth', 'tail'),
    [
        ('slurm_train.sh', 'a folder', ['config.py', '--work-dir=a folder', '--launcher=slurm']),
        ('slurm_test.sh', 'a file.pth', ['config.py', 'a file.pth', '--launcher=slurm']),
    ],
)
def test_slurm_scripts_run_srun(programs, script, fourth, tail):
    done = run(
        programs, f'{TOOLS}/{script}', 'gpus', 'job', 'config.py', fourth, '--cfg-options', 'a=1',
        GPUS='16', SRUN_ARGS='--qos=high --time=1',
    )  # fmt: skip
    words = done.stdout.splitlines()
    assert words[:3] == ['-p', 'gpus', '--job-name=job']
    assert {'--ntasks=16', '--gres=gpu:8', '--qos=high', '--time=1'} <= set(words)
    assert words[-5:] == [*tail, '--cfg-options', 'a=1']


@pytest.mark.parametrize(
    'script', ['dist_train.sh', 'dist_test.sh', 'slurm_train.sh', 'slurm_test.sh']
)
def test_too_few_arguments_show_the_usage(programs, script):
    done = run(programs, f'{TOOLS}/{script}', 'config.py')
    assert done.returncode == 2
    assert done.stderr.startswith('usage: ')
    assert done.stdout == ''


def small_search(work_dir, epochs):
    cfg = reduced('nasiam/simclr_r18_search_cifar10_demo', work_dir, epochs, batch_size=16)
    cfg.probe = None
    return light(cfg)


def test_two_processes_on_the_cpu_train_one_network(tmp_path):
    cfg = small_search(tmp_path / 'work', epochs=1)
    config = tmp_path / 'small.py'
    cfg.dump(config)
    environment = {'OMP_NUM_THREADS': '1', 'PORT': str(29000 + os.getpid() % 900)}
    python = Path(sys.executable).parent
    command = (python, f'{TOOLS}/dist_train.sh', str(config), '2')
    done = run(*command, **environment)
    assert done.returncode == 0, done.stderr
    # 100 images, 16 a process and step, the rest dropped.
    assert 'epoch 1/1: loss' in done.stdout and ' of 3 iterations' in done.stdout
    assert done.stdout.count('searching a head') == 1  # the first process alone tells
    assert (tmp_path / 'work/epoch_1.pth').exists()


@pytest.mark.slow
def test_a_launcher_that_ends_leaves_a_checkpoint_and_no_orphan(tmp_path):
    cfg = small_search(tmp_path / 'work', epochs=500)
    cfg.default_hooks.checkpoint.interval = 500
    config = tmp_path / 'long.py'
    cfg.dump(config)
    saved = tmp_path / 'work/interrupted.pth'
    end_a_launcher(signal.SIGKILL, config)
    first = saved.stat().st_mtime_ns
    # The folder is theirs: what they make of the config (sync_bn) makes them no other run.
    told = end_a_launcher(signal.SIGTERM, config, '--resume')
    assert f'resuming from {saved}' in told
    assert saved.stat().st_mtime_ns > first


def end_a_launcher(number: int, config: Path, *more: str) -> str:
    """Launch two processes, end the launcher when both train; nothing runs on."""
    environment = {
        **os.environ,
        'OMP_NUM_THREADS': '1',
        'PORT': str(28000 + os.getpid() % 900),
        'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
    }
    launched = subprocess.Popen(
        [f'{TOOLS}/dist_train.sh', str(config), '2', '--verbose', *more], cwd=ROOT, env=environment,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    told, ranks = '', []
    try:
        # An epoch after the one it begins with.
        begun = set()
        for line in launched.stdout:
            told += line
            begun |= {*re.findall(r'Epoch\(train\) +\[(\d+)\]', line)}
            if len(begun) > 1:
                break
        ranks = children_of(launched.pid)
        launched.send_signal(number)
        told += launched.stdout.read()
        launched.wait(60)
        assert len(ranks) == 2, told
        until = time.monotonic() + 60
        while any(map(is_running, ranks)) and time.monotonic() < until:
            time.sleep(0.1)
        assert (config.parent / 'work/interrupted.pth').is_file(), told
        assert [pid for pid in ranks if is_running(pid)] == []
    finally:
        for pid in (launched.pid, *ranks):
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
    return told


def children_of(pid: int) -> list[int]:
    listed = subprocess.run(['ps', '-eo', 'pid=,ppid='], capture_output=True, text=True, check=True)
    pairs = [tuple(map(int, line.split())) for line in listed.stdout.splitlines()]
    return [child for child, parent in pairs if parent == pid]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize('parent', ['alive', 'gone'])
def test_a_process_whose_launcher_died_while_it_imported_ends(parent, monkeypatch):
    monkeypatch.setattr(processes.ctypes, 'CDLL', mock.MagicMock())
    number = os.getppid() if parent == 'alive' else os.getppid() + 1
    monkeypatch.setenv('NASIAM_LAUNCHER', str(number))
    if parent == 'alive':
        processes.stop_with_launcher()
    else:
        with pytest.raises(SystemExit) as end:
            processes.stop_with_launcher()
        assert end.value.code == 143


TOOL = """
import os, time
from nasiam_mm.cli.process import run_process
run_process(lambda: (print(os.getpid(), flush=True), time.sleep(60)))
"""
STARTER = """
import subprocess, sys
from nasiam_mm.runs.processes import bound_to_us
subprocess.run([sys.executable, '-c', sys.argv[1]], env=bound_to_us())
"""


def test_a_tool_stops_with_the_command_that_started_it():
    command = [sys.executable, '-c', STARTER, TOOL]
    starter = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    pid = int(starter.stdout.readline())
    starter.kill()
    starter.wait()
    until = time.monotonic() + 30
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(pid)
