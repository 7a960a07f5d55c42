# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How a command-line tool ends: one clear line for a wrong input, a traceback for a defect."""

import logging
import os
import sys
import time
import traceback
import warnings
from collections.abc import Callable

from nasiam_mm.refusals import follows_another, is_user_error, one_line
from nasiam_mm.runs.processes import process_count, process_number

_SECONDS_OF_THE_FIRST = 10.0  # that a process takes to tell, and to end


def run_tool(main: Callable[[], None]) -> None:
    """Run a tool, which parses the command line itself, and leave with its exit status.

    A wrong input (a missing file, a bad value in a config, a full disk) ends as ``error: <what,
    where, the mend>`` and status 2. What is not known to be the user's is a defect and keeps its
    traceback and status 1. Of several processes that fail alike the first alone says so.
    """
    # mmcv says so on every import without compiled ops; nothing here uses that layer.
    warnings.filterwarnings('ignore', message='Fail to import ``MultiScaleDeformableAttention``')
    # mmdet says so of a metric that no config of ours names.
    warnings.filterwarnings('ignore', message='faster_coco_eval is not installed')
    # Not a traceback for each line that a full disk does not take.
    logging.raiseExceptions = False
    try:
        main()
    except KeyboardInterrupt as interrupt:
        print(f'\n{interrupt}' if interrupt.args else 'interrupted', file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        is_second = process_count() > 1 and follows_another(error)
        if process_number() > 0 or is_second:
            # If another process says it, the launcher ends this one meanwhile.
            time.sleep(_SECONDS_OF_THE_FIRST)
        if is_second:
            print('error: another process of this run has ended', file=sys.stderr)
            sys.exit(1)
        if not is_user_error(error):
            raise
        if '--traceback' in sys.argv or os.environ.get('NASIAM_TRACEBACK', '0') != '0':
            traceback.print_exc()
        print(f'error: {one_line(error)}', file=sys.stderr)
        sys.exit(2)
