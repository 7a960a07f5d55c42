# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One transfer run as a row of JSON and a line of Markdown."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasiam_mm.detection.mmcv_ops import is_installed
from nasiam_mm.files.digest import file_digest
from nasiam_mm.runs.record import environment

COLUMNS = {
    'box AP': ('coco/bbox_mAP', 'pascal_voc/mAP'),
    'box AP50': ('coco/bbox_mAP_50', 'pascal_voc/AP50'),
    'box AP75': ('coco/bbox_mAP_75', 'pascal_voc/AP75'),
    'mask AP': ('coco/segm_mAP',),
    'mask AP50': ('coco/segm_mAP_50',),
    'mask AP75': ('coco/segm_mAP_75',),
}
NOTE = '"{}" is not COCO: its figures compare only with rows of the same set and schedule.'


def describe_run(data: str, config: Path, **measured: Any) -> dict[str, Any]:
    """Return all that identifies a run by its final config, and what it measured.

    ``data`` is what the validation set calls itself; info.description of COCO's begins with it.
    """
    return {
        'set': data,
        'note': '' if data.startswith(('COCO', 'VOC')) else NOTE.format(data),
        'config': config.name,
        'config_sha256': file_digest(config),
        **measured,
        'mmcv_ops': 'torchvision adapter' if is_installed() else 'compiled',
        **environment('onedl-mmdetection'),
    }


def render_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Render runs as a Markdown table in percent, with a note under it per set."""
    head = ['set', 'config', 'pretraining', *COLUMNS, 'seed', 'minutes']
    lines = ['| ' + ' | '.join(head) + ' |', '|' + '---|' * len(head)]
    for row in rows:
        cells = [row['set'], row['config'].removesuffix('.py'), row['pretraining']]
        for keys in COLUMNS.values():
            values = [row['metrics'][key] for key in keys if key in row['metrics']]
            cells.append(f'{100 * values[0]:.1f}' if values else '-')
        cells += [str(row['seed']), f'{row["wall_seconds"] / 60:.1f}']
        lines.append('| ' + ' | '.join(cells) + ' |')
    notes = dict.fromkeys(row['note'] for row in rows if row['note'])
    return '\n'.join(lines) + ''.join(f'\n\n{note}' for note in notes)
