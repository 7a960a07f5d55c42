# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam data cifar100``: bring CIFAR-100 to data/cifar100 and check it."""

from nasiam_mm.cli.main import run_process, tool

main = tool('data cifar100')

if __name__ == '__main__':
    run_process(main)
