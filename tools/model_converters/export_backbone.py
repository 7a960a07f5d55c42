# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam export``: export the backbone of a pretraining checkpoint."""

from nasiam_mm.cli.main import run_process, tool

main = tool('export')

if __name__ == '__main__':
    run_process(main)
