# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam embed``: draw the features of images as points in the plane."""

from nasiam_mm.cli.main import run_tool, tool

main = tool('embed')

if __name__ == '__main__':
    run_tool(main)
