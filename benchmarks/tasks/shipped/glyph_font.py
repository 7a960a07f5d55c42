# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Glyph, its font: which of 21 it is, by letters that training did not show."""

from pathlib import Path

from benchmarks.tasks.shipped.glyphs import draw_glyphs
from benchmarks.tasks.task import OTHER, Pool, task


@task('glyph_font', 'glyph: font', OTHER)
def glyph_font(data: Path, seed: int) -> Pool:
    """21 classes; a letter is in one part only."""
    images, letters, fonts = draw_glyphs(seed)
    return Pool(images, fonts, letters)
