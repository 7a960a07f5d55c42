# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam neighbours``: draw images beside their nearest neighbours."""

from nasiam_mm.cli.main import run_tool, tool

main = tool('neighbours')

if __name__ == '__main__':
    run_tool(main)
