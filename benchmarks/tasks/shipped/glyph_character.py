# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Glyph, its character: which letter is drawn, in fonts that training did not show."""

from pathlib import Path

from benchmarks.tasks.shipped.glyphs import draw_glyphs
from benchmarks.tasks.task import OTHER, Pool, task


@task('glyph_character', 'glyph: character', OTHER)
def glyph_character(data: Path, seed: int) -> Pool:
    """26 classes; a font is in one part only."""
    images, letters, fonts = draw_glyphs(seed)
    return Pool(images, letters, fonts)
