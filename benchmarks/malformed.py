# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Feed the commands malformed input: each must end in one line and status 2, or do its work.

    python -m benchmarks.malformed --kind genotype coco --count 200 --seed 1

A mutant is a function of (kind, seed, index); the command printed with a failure repeats it.
Commands run in this process, judged as `nasiam` judges them, every 200th in one of its own.
Watched are time, memory, a canary that code in the input would kill, the length of the message,
and what is left behind. The last line is JSON; the exit status is 1 where one failed.
"""

import faulthandler
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from random import Random
from typing import Any

from benchmarks import mutants, mutants_of_runs
from benchmarks.command import run_module
from benchmarks.mutants import Case, make_originals

KINDS = {**mutants.KINDS, **mutants_of_runs.KINDS}
_SECONDS, _LENGTH, _MOST_BYTES = 10, 500, 300 * 2**20
_SPACE = 6 * 2**30  # of addresses, beyond what is taken before the first mutant
_EVERY = 200
_LOGS = ('work', 'work_dirs')  # folders of runs, where a refused one may leave its log


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add('--kind', nargs='+', choices=list(KINDS), default=list(KINDS), help='default: all')
    add('--count', type=int, default=20, help='mutants of each kind')
    add('--start', type=int, default=0, help='index of the first')
    add('--seed', type=int, default=0)
    add('--processes', type=int, default=_EVERY, help='every such mutant in a process of its own')
    add('--work-dir', type=Path, default=Path('work_dirs/malformed'))
    add('--out', type=Path, help='JSON file for the summary')
    add('--keep', action='store_true', help='keep the folders of the mutants')


def run(args: Namespace) -> None:
    """Make, feed, watch, print."""
    from nasiam_mm.files.atomic import write_json

    began, args.work_dir = time.monotonic(), args.work_dir.resolve()
    originals = make_originals(args.work_dir / 'originals')
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_status('VmSize') + _SPACE, limits[1]))
    counts: dict[str, Counter] = {kind: Counter() for kind in args.kind}
    failures = []
    slowest, largest = 0.0, 0
    for kind in args.kind:
        for index in range(args.start, args.start + args.count):
            folder = args.work_dir / f'{kind}_{args.seed}_{index}'
            repeat = f'--kind {kind} --seed {args.seed} --start {index} --count 1 --keep'
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            (args.work_dir / 'running').write_text(repeat, encoding='utf-8')
            case = KINDS[kind](Random(f'{kind} {args.seed} {index}'), folder, originals)
            own = args.processes and index % args.processes == args.processes - 1
            outcome = (in_process if own else in_here)(case, folder)
            counts[kind][outcome.state] += 1
            slowest, largest = max(slowest, outcome.seconds), max(largest, outcome.grown)
            if outcome.problem:
                failures.append({'repeat': repeat, 'problem': outcome.problem, 'argv': case.argv})
                print(f'{repeat}\n  {case.argv!r:.300}\n  {outcome.problem:.600}', flush=True)
            if not args.keep:
                shutil.rmtree(folder, ignore_errors=True)
        summary = {
            'seed': args.seed,
            'indices': [args.start, args.start + args.count],
            'kinds': counts,
            'mutants': sum(sum(count.values()) for count in counts.values()),
            'failed': len(failures),
            'failures': failures[:20],
            'slowest_seconds': round(slowest, 2),
            'largest_growth_mib': round(largest / 2**20),
            'seconds': round(time.monotonic() - began, 1),
        }
        if args.out is not None:
            write_json(summary, args.out)
    resource.setrlimit(resource.RLIMIT_AS, limits)
    print(json.dumps(summary))
    sys.exit(1 if failures else 0)


class TimeUp(BaseException):
    """A command took too long; no handler of errors catches it."""


class Outcome(Namespace):
    """How a command ended: state ('refused', 'done', 'failed'), problem, seconds, grown."""


def in_here(case: Case, folder: Path) -> Outcome:
    """Run a command in this process and judge its end."""
    from nasiam_mm.cli.ending import run_tool
    from nasiam_mm.cli.main import dispatch

    out, err, status, crash = io.StringIO(), io.StringIO(), 0, ''
    before = _listing(folder)
    Path('/proc/self/clear_refs').write_text('5', encoding='ascii')  # VmHWM begins anew
    resident, began = _status('VmRSS'), time.monotonic()
    with _isolated(folder), redirect_stdout(out), redirect_stderr(err), _alarm():
        try:
            run_tool(lambda: dispatch(case.argv))
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 2
        except TimeUp:
            crash = f'took over {_SECONDS} s'
        except BaseException as error:
            crash = f'traceback: {_named(error)}'
    seconds, grown = time.monotonic() - began, _status('VmHWM') - resident
    problem = crash or judge(case, folder, before, status, out.getvalue(), err.getvalue())
    if not problem and grown > _MOST_BYTES + 2 * case.size:
        problem = f'memory grew by {grown / 2**20:.0f} MiB over an input of {case.size} bytes'
    state = 'failed' if problem else 'refused' if status else 'done'
    return Outcome(state=state, problem=problem, seconds=seconds, grown=grown)


def in_process(case: Case, folder: Path) -> Outcome:
    """Run a command in a process of its own, as a user does."""
    before = _listing(folder)
    command = [sys.executable, '-m', 'nasiam_mm', *case.argv]
    where = os.pathsep.join(filter(None, (str(Path(__file__).parents[1]), *sys.path)))
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, 'PYTHONPATH': where},
            capture_output=True,
            timeout=60 * _SECONDS,  # with all the imports, where others compute too
            check=False,
        )
        texts = [text.decode(errors='replace') for text in (done.stdout, done.stderr)]
        problem = judge(case, folder, before, done.returncode, *texts)
        status = done.returncode
    except subprocess.TimeoutExpired:
        problem, status = 'took too long', 1
    except ValueError:  # a null character, which no command line can hold
        problem, status = '', 2
    state = 'failed' if problem else 'refused' if status else 'done'
    return Outcome(state=state, problem=problem, seconds=0.0, grown=0)


def judge(case: Case, folder: Path, before: dict[str, Any], status: int, out: str, err: str) -> str:
    """Say what is wrong with how a command ended; '' where nothing is."""
    if not case.canary.exists():
        return 'code of the input was run'
    after = _listing(folder)
    if torn := [name for name in after if '.tmp' in name]:
        return f'left {torn[0]}'
    if status not in (0, 2):
        return f'status {status}: {err[-800:]}'
    if 'Traceback (most recent call last)' in err:
        return f'traceback: {err[-800:]}'
    if status == 0:
        return ''
    lines = [line for line in err.splitlines() if line.startswith('error: ')]
    shown = [line for line in out.splitlines() if ' - mmengine - ' not in line]  # less the log
    told = lines if lines else shown if case.argv[0] == 'check' else []
    if len(lines) > 1 or not told or (lines and not err.rstrip().endswith(lines[0].rstrip())):
        return f'not one line: {err[-800:]!r}'
    if long := [line for line in told if len(line) > _LENGTH]:
        return f'{len(long[0])} characters: {long[0]}'
    if odd := [line for line in told if not line.isprintable()]:
        return f'not printable: {odd[0]!r}'
    new = [name for name in after if name not in before and name.split('/')[0] not in _LOGS]
    changed = [name for name in before if after.get(name) != before[name]]
    return f'refused, yet wrote {(new + changed)[0]}' if new + changed else ''


def _named(error: BaseException) -> str:
    """Return the type, the place and the beginning of an error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f'{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}' if trace else ''
    return f'{type(error).__name__} at {place}: {error!s:.300}'


def _listing(folder: Path) -> dict[str, Any]:
    """Return size and time of change of everything in a folder."""
    found = {}
    for path in folder.rglob('*'):
        about = path.lstat()
        size = 0 if path.is_dir() else (about.st_size, about.st_mtime_ns)
        found[os.fsencode(path.relative_to(folder)).decode(errors='replace')] = size
    return found


def _status(field: str) -> int:
    """Return bytes of memory of this process, see proc(5)."""
    for line in Path('/proc/self/status').read_text(encoding='ascii').splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    return 0


@contextmanager
def _alarm() -> Iterator[None]:
    """Raise TimeUp after the time, if it was spent computing or waiting; others may compute too."""
    used = [time.process_time()] * 2

    def end(number: int, frame: Any) -> None:
        now = time.process_time()
        if now - used[0] > _SECONDS or now - used[1] < 0.1:
            raise TimeUp
        used[1] = now

    handler = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, _SECONDS, _SECONDS)
    # Where nothing lets it be raised, the process ends.
    faulthandler.dump_traceback_later(30 * _SECONDS, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, handler)


@contextmanager
def _isolated(folder: Path) -> Iterator[None]:
    """Work in a folder; put back what a command changes of its process."""
    import torch.distributed as dist
    from mmengine.logging import MessageHub, MMLogger
    from mmengine.registry import DefaultScope
    from mmengine.visualization import Visualizer

    here, environment, path = os.getcwd(), dict(os.environ), list(sys.path)
    handlers = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
        os.environ.clear()
        os.environ.update(environment)
        sys.path[:] = path
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if dist.is_initialized():
            dist.destroy_process_group()
        for logger in MMLogger._instance_dict.values():
            for handle in logger.handlers:
                handle.close()
        managers: tuple[Any, ...] = (MessageHub, MMLogger, DefaultScope, Visualizer)
        for manager in managers:
            manager._instance_dict.clear()


if __name__ == '__main__':
    run_module('benchmarks.malformed', __doc__, add_arguments, run)
