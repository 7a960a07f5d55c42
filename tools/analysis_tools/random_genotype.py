# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam genotype random``: draw a random genotype in the space of a given one."""

from nasiam_mm.cli.main import run_process, tool

main = tool('genotype random')

if __name__ == '__main__':
    run_process(main)
