# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam env``: the machine and the versions."""

from nasiam_mm.cli.main import run_process, tool

main = tool('env')

if __name__ == '__main__':
    run_process(main)
