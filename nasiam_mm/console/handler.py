# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What of a log is shown on the console: warnings that are true, errors, and what is marked."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import TextIOBase

from nasiam_mm.console.alarms import NoAlarms
from nasiam_mm.console.screen import Console, current

# ``logger.info(text, extra=SHOWN)`` is shown as it stands.
SHOWN = {'shown': True}


class ConsoleHandler(logging.Handler):
    """Says a record on a console, in place of mmengine's handler for the terminal."""

    def __init__(self, console: Console, level: int) -> None:
        super().__init__(level)
        self.console = console
        self.addFilter(NoAlarms())
        self._warned: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Say it; a warning once."""
        text = record.getMessage()
        if getattr(record, 'shown', False):
            self.console.say(text)
        elif record.levelno >= logging.WARNING and text not in self._warned:
            self._warned.add(text)
            self.console.say(f'{record.levelname.lower()}: {text}')


def take_over(logger: logging.Logger, console: Console) -> None:
    """Let a logger of mmengine's show on the console what is to be seen; its file stays."""
    logger.handlers[:] = [
        ConsoleHandler(console, handler.level)
        if type(handler) is logging.StreamHandler
        else handler
        for handler in logger.handlers
    ]


class _ToLog(TextIOBase):
    """A stream whose lines go to the log that is written at the time."""

    _rest = ''

    def write(self, text: str) -> int:
        """Log the lines that are whole."""
        from mmengine.logging import MMLogger

        *lines, self._rest = f'{self._rest}{text}'.split('\n')
        for line in filter(str.strip, lines):
            MMLogger.get_current_instance().info(line)
        return len(text)


@contextmanager
def prints_go_to_the_log() -> Iterator[None]:
    """Let a library that prints as it works fill the log, where the console is to be short."""
    from mmengine.logging import MMLogger

    if (console := current()) is None:
        yield
        return
    before_a_run = MMLogger.get_current_instance()
    handlers = list(before_a_run.handlers)
    take_over(before_a_run, console)
    try:
        with redirect_stdout(_ToLog()):
            yield
    finally:
        before_a_run.handlers[:] = handlers
