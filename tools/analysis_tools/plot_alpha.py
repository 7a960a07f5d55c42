# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam draw --kind alpha``: plot the mixing weights over the epochs of a search."""

from nasiam_mm.cli.main import run_process, tool

main = tool('draw --kind alpha')

if __name__ == '__main__':
    run_process(main)
