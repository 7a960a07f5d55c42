# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Letters drawn with the fonts that matplotlib brings; two tasks ask about the same images."""

from functools import cache, lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.tasks.task import SIDE, as_images, generator

LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
FONTS = (
    *(f'DejaVu{kind}' for kind in ('Sans', 'Sans-Bold', 'Sans-Oblique', 'Sans-BoldOblique')),
    *(f'DejaVuSansMono{kind}' for kind in ('', '-Bold', '-Oblique', '-BoldOblique')),
    *(f'DejaVuSerif{kind}' for kind in ('', '-Bold', '-Italic', '-BoldItalic')),
    *(f'STIXGeneral{kind}' for kind in ('', 'Bol', 'BolIta', 'Italic')),
    *('cmb10', 'cmr10', 'cmss10', 'cmti10', 'cmtt10'),
)
_EACH = 4  # of a letter in a font
_CANVAS = 2 * SIDE  # drawn at, and averaged down


@lru_cache(maxsize=2)
def draw_glyphs(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw letters of any place, size, slant and grey, dark on light or light on dark.

    Returns:
        Images, uint8 (N, 3, 32, 32); the letter and the font of each, int64 (N,).
    """
    rng, folder = generator(seed, 'glyphs'), Path(matplotlib.get_data_path(), 'fonts/ttf')
    pictures, letters, fonts = [], [], []
    for number, name in enumerate(FONTS):
        for letter in range(len(LETTERS)):
            for _ in range(_EACH):
                pictures.append(_draw(LETTERS[letter], folder / f'{name}.ttf', rng))
                letters.append(letter)
                fonts.append(number)
    return as_images(pictures), np.array(letters), np.array(fonts)


def _draw(letter: str, file: Path, rng: np.random.Generator) -> np.ndarray:
    font = _font(file, int(rng.integers(44, 60)))
    mask = Image.new('L', (_CANVAS, _CANVAS))
    place = tuple(float(_CANVAS / 2 + d) for d in rng.uniform(-5, 5, 2))
    ImageDraw.Draw(mask).text(place, letter, fill=255, font=font, anchor='mm')
    mask = mask.rotate(float(rng.uniform(-10, 10)), Image.Resampling.BILINEAR)
    greys = int(rng.integers(0, 80)), int(rng.integers(176, 256))
    ink, paper = greys if rng.uniform() < 0.5 else greys[::-1]
    cover = np.asarray(mask, np.float32) / 255
    return np.uint8(np.round(paper + cover * (ink - paper)))


@cache
def _font(file: Path, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(file), size)
