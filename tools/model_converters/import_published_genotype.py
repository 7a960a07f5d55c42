# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam genotype import``: import a genotype in the authors' text form."""

from nasiam_mm.cli.main import run_process, tool

main = tool('genotype import')

if __name__ == '__main__':
    run_process(main)
