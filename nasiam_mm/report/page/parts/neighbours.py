# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Images beside their nearest neighbours, as they were kept by ``neighbours.json``."""

from typing import Any

from nasiam_mm.report.page.facts import Facts
from nasiam_mm.report.page.markup import absent, esc, paragraph


def neighbours(facts: Facts) -> str:
    """Show them, or say what brings them."""
    found = facts.neighbours
    if not found:
        reason = facts.faults.get('neighbours.json')
        how = f'nasiam report {facts.path} --neighbours'
        return absent(reason or f'None were looked up; {how} reads the checkpoint and the images.')
    labelled = 'A solid frame: of the same class; a dashed one: of another. ' if any(
        row['label'] for row in found['images']
    ) else ''  # fmt: skip
    told = (
        f'At the left an image, drawn by a seed and not picked; beside it the most similar of '
        f"{found['bank']:,} images by the cosine of the backbone's features, after epoch "
        f'{found["epoch"]}. {labelled}'
    )
    rows = ''.join(_row(row) for row in found['images'])
    return paragraph(told, 'note') + f'<div class="views">{rows}</div>'


def _row(row: dict[str, Any]) -> str:
    label = row['label']
    parts = [_image(row['png'], label or 'image', '', label)]
    for near in row['neighbours']:
        same = bool(label) and near['label'] == label
        kind = ('same' if same else 'other') if label else ''
        told = f'neighbour {near["label"]} cosine {near["cosine"]:.2f}'
        parts.append(_image(near['png'], told, kind, f'{near["cosine"]:.2f} {near["label"]}'))
    return f'<ul class="row">{"".join(parts)}</ul>'


def _image(png: str, alt: str, kind: str, under: str) -> str:
    return (
        f'<li class="{kind}"><img src="data:image/png;base64,{png}" alt="{esc(alt)}" width="64" '
        f'height="64">{esc(under)}</li>'
    )
