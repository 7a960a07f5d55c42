# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam probe``: measure a backbone on cached features."""

from nasiam_mm.cli.main import run_process, tool

main = tool('probe')

if __name__ == '__main__':
    run_process(main)
