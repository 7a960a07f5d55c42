# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Runs on a machine without a network: pack -> set up -> run, again and again -> collect -> import.

pack:  manifest.json  set_up.py  code.tar.gz.000  data.tar.gz.000...  wheels.tar.gz.000...
there: FOLDER/code  FOLDER/data  FOLDER/venv  FOLDER/work/runs/RUN
"""
