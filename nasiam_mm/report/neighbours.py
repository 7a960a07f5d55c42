# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Nearest neighbours of some images by a backbone's features, kept as small pictures in JSON."""

import base64
import io
import math
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from mmcv.transforms import LoadImageFromFile
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Subset

from nasiam_mm.datasets.split import innermost
from nasiam_mm.evaluation.neighbours import nearest_neighbours
from nasiam_mm.files.regular import read_json
from nasiam_mm.probes.extract import extract_features

NEIGHBOURS = 'neighbours.json'  # in the work directory
_PICTURE = re.compile(r'[A-Za-z0-9+/]{1,60000}={0,2}')
_SIDE = 64  # pixels
_MOST_IMAGES, _MOST_NEAR = 40, 20  # that are read
_SHOWN, _NEAR = 8, 7  # images, and neighbours of each
_BANK, _QUERY = 5000, 500  # images that are looked among, and that those shown are drawn from


def look_up(
    model: nn.Module,
    bank: DataLoader,
    query: DataLoader,
    epoch: int,
    cfg: Mapping[str, Any] = {},
    labelled: bool = True,
    seed: int = 0,
) -> dict[str, Any]:
    """Find the neighbours of some images of a query among some of a bank; data for JSON.

    What is shown is drawn by the seed: one image a class as far as classes go, from at most 500 of
    the query, beside the nearest of at most 5,000 of the bank. Pictures are at most 64 pixels wide.
    One process alone.
    """
    rng = np.random.default_rng(seed)
    rows = [_some(loader.dataset, most, rng) for loader, most in ((bank, _BANK), (query, _QUERY))]
    sets = [
        extract_features(model, _over(loader, some), cfg, labelled)
        for loader, some in zip((bank, query), rows, strict=True)
    ]
    among, asked = sets
    names = getattr(innermost(bank.dataset), 'metainfo', {}).get('classes') or ()

    def label(value: Tensor) -> str:
        number = int(value)
        return '' if not labelled else str(names[number]) if number < len(names) else str(number)

    chosen = _one_of_each(asked.labels.tolist())
    near, cosines = nearest_neighbours(
        asked.features[chosen], among.features, min(_NEAR, len(among.features))
    )
    images = [
        {
            'label': label(asked.labels[place]),
            'png': _png(image_of(query.dataset, rows[1][place])),
            'neighbours': [
                {
                    'label': label(among.labels[n]),
                    'cosine': round(float(cosine), 4),
                    'png': _png(image_of(bank.dataset, rows[0][int(n)])),
                }
                for n, cosine in zip(near[line], cosines[line], strict=True)
            ],
        }
        for line, place in enumerate(chosen)
    ]
    return {'epoch': epoch, 'bank': len(among.features), 'seed': seed, 'images': images}


def _some(dataset: Any, most: int, rng: np.random.Generator) -> list[int]:
    order = rng.permutation(len(dataset))[:most]
    return [int(row) for row in order]


def _over(loader: DataLoader, rows: list[int]) -> DataLoader:
    """Return a loader of some rows of another's images, in this process."""
    given = dict(batch_size=loader.batch_size or 128, collate_fn=loader.collate_fn)
    return DataLoader(Subset(loader.dataset, rows), **given)


def _one_of_each(labels: list[int]) -> list[int]:
    """Return the places of the images shown: first of every class, then the rest."""
    firsts = list({label: n for n, label in reversed(list(enumerate(labels)))}.values())
    others = [n for n in range(len(labels)) if n not in set(firsts)]
    return [*sorted(firsts), *others][:_SHOWN]


def _png(image: np.ndarray) -> str:
    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((_SIDE, _SIDE))
    with io.BytesIO() as file:
        picture.save(file, 'PNG')
        return base64.b64encode(file.getvalue()).decode('ascii')


def image_of(dataset: Dataset, index: int) -> np.ndarray:
    """Return an image of a part as the network's pipeline leaves it, uint8 RGB (H, W, 3)."""
    image = dataset[index]['inputs'].permute(1, 2, 0).numpy()
    steps = innermost(dataset).pipeline.transforms
    # mmcv reads files in the order of OpenCV; NumpyToPIL(to_rgb=True) may have turned it.
    is_bgr = any(isinstance(step, LoadImageFromFile) for step in steps)
    is_bgr &= not any(getattr(step, 'to_rgb', False) for step in steps)
    return image[..., ::-1] if is_bgr else image


def read_neighbours(path: str | os.PathLike) -> dict[str, Any]:
    """Read ``neighbours.json``; what it holds is made plain text, numbers and base64.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it has another form.
    """
    data = read_json(path)
    try:
        rows = [
            {
                'label': str(row['label']),
                'png': _base64(row['png']),
                'neighbours': [
                    {
                        'label': str(near['label']),
                        'cosine': _cosine(near['cosine']),
                        'png': _base64(near['png']),
                    }
                    for near in row['neighbours'][:_MOST_NEAR]
                ],
            }
            for row in data['images'][:_MOST_IMAGES]
        ]
        return {'epoch': int(data['epoch']), 'bank': int(data['bank']), 'images': rows}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        mend = 'remove it, and make it anew by nasiam report FOLDER --neighbours'
        raise ValueError(f"'{path}' is none of ours ({error!r:.80}); {mend}") from error


def _base64(value: Any) -> str:
    if not isinstance(value, str) or not _PICTURE.fullmatch(value):
        raise ValueError('no picture')
    return value


def _cosine(value: Any) -> float:
    if not math.isfinite(cosine := float(value)):
        raise ValueError('no cosine')
    return cosine
