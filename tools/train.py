# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam train``: search a head, pretrain with one, or train what else a config says."""

from nasiam_mm.cli.main import run_process, tool

main = tool('train')

if __name__ == '__main__':
    run_process(main)
