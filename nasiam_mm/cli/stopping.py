# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How a study ends by SIGTERM or Ctrl-C: its trainings save, and a line says how to go on."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from nasiam_mm.console.screen import current, say


@contextmanager
def stoppable(folder: object, again: str, tells: bool = True) -> Iterator[None]:
    """Let what runs within save and end on SIGTERM as on Ctrl-C, and say how to go on.

    Args:
        folder: In which the study is.
        again: The command that goes on with it.
        tells: Whether this process says so; one of several workers does not.

    Raises:
        KeyboardInterrupt: After SIGINT.
        SystemExit: After SIGTERM, with 143.
    """
    kept = f'stopped; what was measured is kept in {folder}, a training from its last checkpoint'
    line = f'{kept}; go on with: {again}'
    is_main = threading.current_thread() is threading.main_thread()

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one ends this at once
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, stop) if is_main else None
    try:
        yield
    except KeyboardInterrupt:
        if not tells:
            raise
        raise KeyboardInterrupt(f'SIGINT: {line}') from None
    except SystemExit as end:
        if tells and end.code == 128 + signal.SIGTERM:
            if (console := current()) is not None:
                console.close()
            say(f'SIGTERM: {line}')
        raise
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, before)
