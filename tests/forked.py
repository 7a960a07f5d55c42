# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Scripts run as processes of their own that have imported everything already.

A fork of this process has torch and its friends, which a fresh interpreter takes seconds to import;
what a test patched holds in it too.
"""

import gc
import os
import runpy
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import NoReturn

from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import DefaultScope
from mmengine.visualization import Visualizer

from tests.reduced import ROOT


def run_forked(
    script: Path | str, *argv: object, folder: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess:
    """Run a script, or a module by its dotted name, in a fork: what it wrote, how it ended."""
    words = [str(script), *map(str, argv)]
    sys.stdout.flush(), sys.stderr.flush()  # else the fork would write what waits here
    with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
        process = os.fork()
        if process == 0:
            _run(words, folder, variables, out.fileno(), err.fileno())
        _, status = os.waitpid(process, 0)
        told = []
        for stream in (out, err):
            stream.seek(0)
            told.append(stream.read())
    return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(status), *told)


def _run(words: list[str], folder: Path, variables: dict, *streams: int) -> NoReturn:
    status = 1
    # What the parent left is not this process's to collect: a loader with workers would complain.
    gc.freeze()
    try:
        for number, stream in enumerate(streams, start=1):
            os.dup2(stream, number)
        sys.stdout, sys.stderr = (os.fdopen(n, 'w', buffering=1, closefd=False) for n in (1, 2))
        os.chdir(folder)
        os.environ.update(variables)
        # What mmengine makes once a process has not been made in this one.
        for made in (MessageHub, MMLogger, Visualizer, DefaultScope):
            made._instance_dict.clear()
        is_file = words[0].endswith('.py')
        sys.argv = words
        sys.path.insert(0, str(Path(words[0]).parent) if is_file else str(folder))
        (runpy.run_path if is_file else runpy.run_module)(words[0], run_name='__main__')
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(status)
