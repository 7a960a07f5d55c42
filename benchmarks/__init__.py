# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What stands on nasiam_mm and is no part of it: tables, speed, runs without a network.

papers      tables of the papers, and of heads against chance
backbones   which backbones to compare, and what their rows say
tasks       downstream tasks that need no network
heads       a table of heads
speed       our code and its peers in turn
offline     tables on a machine without a network
robustness  kills and resumptions of trainings, detectors and tables
malformed   malformed input for every command
"""

from pathlib import Path

# A checkout: its configs and tools are what is measured.
ROOT = Path(__file__).resolve().parents[1]
