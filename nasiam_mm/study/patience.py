# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Calls of a database that wait for it to come back."""

import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

_PATIENCE = 600.0  # seconds that a database may be away
T = TypeVar('T')


def patiently(call: Callable[[], T], seconds: float = _PATIENCE) -> T:
    """Call what asks a database, again and again while that is away; its last error after that."""
    from sqlalchemy.exc import SQLAlchemyError

    end, pause = time.monotonic() + seconds, 0.2
    while True:
        try:
            return call()
        except (StorageInternalError, SQLAlchemyError):
            if time.monotonic() > end:
                raise
            time.sleep(pause)
            pause = min(2 * pause, 2.0)


def made_patient(storage: BaseStorage) -> BaseStorage:
    """Let every call of a storage wait for its database to come back."""
    public = [name for name in dir(BaseStorage) if not name.startswith('_')]
    for name in (*public, 'record_heartbeat', '_get_stale_trial_ids'):
        setattr(storage, name, _patient(getattr(storage, name)))
    return storage


def _patient(call: Callable[..., T]) -> Callable[..., T]:
    @wraps(call)
    def again(*args: Any, **kwargs: Any) -> T:
        return patiently(partial(call, *args, **kwargs))

    return again
