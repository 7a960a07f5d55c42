# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``--workers N`` of a study: N processes of the same command, shown by one."""

import os
import subprocess
import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from nasiam_mm.console.screen import Console, current
from nasiam_mm.runs.processes import bound_to_us

if TYPE_CHECKING:
    from nasiam_mm.study.worker import Worker


def run_workers(args: Namespace, worker: 'Worker', until: float | None) -> None:
    """Start the workers, and wait for all of them.

    On a terminal their lines and one bar are shown by this process; elsewhere they print them.

    Args:
        args: The command line.
        worker: Of this process, which trains nothing.
        until: When the last is to be taken up, in seconds as ``time.time`` has it; None for never.
    """
    cores = os.cpu_count() or 1
    threads = str(max(1, cores // args.workers))
    environment = {'OMP_NUM_THREADS': threads, **bound_to_us()}
    command = [sys.executable, '-m', 'nasiam_mm', *sys.argv[1:]]
    if until is not None:
        command += ['--until', f'{until:.3f}']
    console = current()
    shown: dict[str, Any] = {}
    if console is not None and console.is_live:
        # An error of a worker would stand in the bar; where errors are kept apart they stay so.
        apart = None if not sys.stderr.isatty() else subprocess.STDOUT
        shown = {'stdout': subprocess.PIPE, 'stderr': apart}
    workers = [
        subprocess.Popen([*command, '--worker', str(number)], env=environment, **shown)
        for number in range(1, args.workers + 1)
    ]
    try:
        _wait(workers, worker, console if shown else None)
    except (KeyboardInterrupt, SystemExit) as end:
        for process in workers:
            if isinstance(end, SystemExit):  # of a terminal's signal they have one of their own
                process.terminate()
        _wait(workers, worker, console if shown else None)
        raise


def _wait(workers: list[subprocess.Popen], worker: 'Worker', console: Console | None) -> None:
    if console is None:
        for process in workers:
            process.wait()
        return
    from nasiam_mm.study.watch import Watch

    Watch(console, lambda: (worker.plan(), worker.running())).follow(workers)
