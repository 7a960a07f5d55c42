# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""torchrun without words of its own: what a process says is the last word, its status the run's.

python -m nasiam_mm.cli.launch --nproc_per_node=2 tools/train.py CONFIG --launcher pytorch
"""

import logging
import os
import sys

from nasiam_mm.runs.processes import LAUNCHER


def main() -> None:
    """Start the processes, hand signals on to them, leave with the status of the first to fail."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.disable(logging.ERROR)
    os.environ[LAUNCHER] = str(os.getpid())  # which the processes look for
    try:
        run.main()
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        sys.exit(failure.exitcode if failure.exitcode >= 0 else 128 - failure.exitcode)
    except SignalException as signal:
        sys.exit(128 + signal.sigval)


if __name__ == '__main__':
    main()
