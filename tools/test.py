# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam test``: evaluate a checkpoint as its config says."""

from nasiam_mm.cli.main import run_process, tool

main = tool('test')

if __name__ == '__main__':
    run_process(main)
