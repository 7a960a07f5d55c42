# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam detect``: train and evaluate a detector on a backbone."""

from nasiam_mm.cli.main import run_process, tool

main = tool('detect')

if __name__ == '__main__':
    run_process(main)
