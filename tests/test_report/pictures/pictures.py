# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a reader sees of a figure: its texts, where they stand, whether they collide."""

from itertools import combinations
from unittest import mock

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox


def visible_texts(figure: Figure) -> list[tuple[str, Bbox]]:
    """Every text that is drawn, with its box in pixels."""
    drawn = []
    draw = Text.draw

    def record(text, renderer, *args, **kwargs):
        if text.get_visible() and text.get_text().strip():
            drawn.append((text.get_text(), text.get_window_extent(renderer)))
        draw(text, renderer, *args, **kwargs)

    with mock.patch.object(Text, 'draw', record):
        FigureCanvasAgg(figure).draw()
    return drawn


def collisions(figure: Figure) -> list[tuple[str, ...]]:
    """Texts that overlap one another or leave the figure."""
    texts = visible_texts(figure)
    canvas = figure.bbox
    out = [
        (text,)
        for text, box in texts
        if box.x0 < 0 or box.y0 < 0 or box.x1 > canvas.width or box.y1 > canvas.height
    ]
    return out + [
        (a, b)
        for (a, box_a), (b, box_b) in combinations(texts, 2)
        if min(box_a.x1, box_b.x1) - max(box_a.x0, box_b.x0) > 0.5
        and min(box_a.y1, box_b.y1) - max(box_a.y0, box_b.y0) > 0.5
    ]
