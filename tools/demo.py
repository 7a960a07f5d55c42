# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam demo``: search, pretrain and measure on real CIFAR-10 on two CPU cores."""

from nasiam_mm.cli.main import run_tool, tool

main = tool('demo')

if __name__ == '__main__':
    run_tool(main)
