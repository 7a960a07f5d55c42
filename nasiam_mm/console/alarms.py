# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Alarms of libraries about what no run of ours uses; each is known by how it begins."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

# mmcv and mmengine warn of their own calls, mmdet of the lanes that no recipe of ours detects.
ALARMS = (
    '"FileClient" will be deprecated in future',
    '"HardDiskBackend" is the alias of "LocalBackend"',
    'Line NMS is not compiled',
)
_ABSENT = 'Could not import OneDL'  # a further format of data sets, which nothing here reads
# mmcv says so on every import without compiled ops; nothing here uses that layer.
_NO_OPS = 'Fail to import ``MultiScaleDeformableAttention``'


def is_alarm(text: str) -> bool:
    """Tell whether a text is an alarm about something that no run uses."""
    return text.startswith(ALARMS)


def quiet_imports() -> None:
    """Let imports of mmpretrain, mmcv and mmdet not say that a package of theirs is absent.

    They print it by ``print_log`` without a logger, which heeds no level, or warn of it: once,
    while they import.
    """
    import mmengine.logging as library

    warnings.filterwarnings('ignore', message=_NO_OPS)
    if hasattr(library.print_log, '__wrapped__'):
        return
    original = library.print_log

    @wraps(original)
    def print_log(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
        if logger is not None or not str(msg).startswith(_ABSENT):
            original(msg, logger, level)

    library.print_log = print_log


@contextmanager
def no_alarms() -> Iterator[None]:
    """Leave out within what mmdet logs while it imports, before a run has a log of its own."""
    from mmengine.logging import MMLogger

    logger, passing = MMLogger.get_current_instance(), NoAlarms()
    logger.addFilter(passing)
    try:
        yield
    finally:
        logger.removeFilter(passing)


class NoAlarms(logging.Filter):
    """Let all pass but alarms."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be shown."""
        return not is_alarm(record.getMessage())
