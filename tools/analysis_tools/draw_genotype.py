# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam draw --kind genotype``: draw a genotype file as a picture."""

from nasiam_mm.cli.main import run_process, tool

main = tool('draw --kind genotype')

if __name__ == '__main__':
    run_process(main)
