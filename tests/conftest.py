# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The order of the test files; what every test starts from is in tests/fixtures.py.

The process that deals the files out to the workers of pytest-xdist runs no test and imports no
torch: they begin seconds earlier. So a conftest.py imports what takes long where it is used.
"""

import gc
import os
from pathlib import Path

TESTS = Path(__file__).parent
# What takes long, whatever its number of tests: the last file is not to run alone.
LONG_FIRST = (
    'test_distributed', 'test_detection', 'benchmarks', 'test_tools', 'test_engine',
    'test_wheel.py', 'test_docs', 'test_study',
)  # fmt: skip


def pytest_configure(config):
    """Let files be dealt out in our order, not by their number of tests."""
    if hasattr(config.option, 'loadscopereorder'):
        config.option.loadscopereorder = False
    is_worker = 'PYTEST_XDIST_WORKER' in os.environ
    if is_worker or not config.getoption('numprocesses', None):
        config.pluginmanager.import_plugin('tests.fixtures')


def pytest_collection_modifyitems(items):
    """Put the long files first."""

    def place(item):
        name = item.path.relative_to(TESTS).parts[0]
        return LONG_FIRST.index(name) if name in LONG_FIRST else len(LONG_FIRST)

    items.sort(key=place)


def pytest_collection_finish():
    """Look for no garbage in what has been imported: a million objects, which stay."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
