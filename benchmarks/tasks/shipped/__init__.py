# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Downstream tasks, a file each; all of them need no network once the packages are there."""

# ruff: noqa: F401
from benchmarks.tasks.shipped import (
    animal_vehicle,
    cifar10,
    corruption,
    digits,
    faces,
    glyph_character,
    glyph_font,
    rotation,
    shape_count,
    silhouettes,
    textures,
)
from benchmarks.tasks.task import TASKS, Pool, Task, task
