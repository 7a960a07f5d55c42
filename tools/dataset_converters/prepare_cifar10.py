# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam data cifar10``: bring CIFAR-10 to data/cifar10 and check it."""

from nasiam_mm.cli.main import run_process, tool

main = tool('data cifar10')

if __name__ == '__main__':
    run_process(main)
