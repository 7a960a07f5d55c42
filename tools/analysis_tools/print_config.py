# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam config``: print a config with all that it inherits."""

from nasiam_mm.cli.main import run_process, tool

main = tool('config')

if __name__ == '__main__':
    run_process(main)
