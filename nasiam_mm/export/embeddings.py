# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The features of any folder of images, by the backbone of a run; nothing but its weights is read.

What the images are resized to and normalised by is taken, as data, from the config text within the
checkpoint, so that no config is run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.device import get_device

from nasiam_mm.datasets.folder import read_image, square
from nasiam_mm.datasets.gathering import folder_labels, list_images, refuse_broken
from nasiam_mm.export.asked import check_extraction
from nasiam_mm.export.checkpoint import read_pretrained
from nasiam_mm.files.checkpoint import read_checkpoint
from nasiam_mm.files.config_text import config_within
from nasiam_mm.files.marks import runs_in
from nasiam_mm.probes.extract import pooled
from nasiam_mm.runs.work_dir import find_last_checkpoint
from nasiam_mm.wording import counted


@dataclass(frozen=True, repr=False)
class Embeddings:
    """Features of images.

    Attributes:
        files: Of each image its path within the folder, with slashes.
        features: float32 (N, D), the averages of the backbone's last map.
        labels: Of each image its outermost folder; None unless each is in one of two or more.
        left_out: Broken files, by their whole paths.
        checkpoint: What they are by.
    """

    files: tuple[str, ...]
    features: np.ndarray
    labels: tuple[str, ...] | None
    left_out: tuple[str, ...]
    checkpoint: Path

    @property
    def summary(self) -> str:
        """Numbers of images, features and labels, and what they are by."""
        count, width = self.features.shape
        labels = 'no labels' if self.labels is None else counted(len(set(self.labels)), 'label')
        told = f'{counted(count, "image")}, {counted(width, "feature")} each, {labels}'
        return f'{told}, by {self.checkpoint}'

    def __repr__(self) -> str:
        return f'Embeddings({self.summary})'


@dataclass(frozen=True)
class _Input:
    size: int
    mean: torch.Tensor
    std: torch.Tensor


def find_run_checkpoint(path: Path | str) -> Path:
    """Return a checkpoint: the file itself, or the last whole one of a run.

    A folder is a run's, or one of results with ``pretrain``, ``baseline`` or ``search`` below it.

    Raises:
        FileNotFoundError: If there is none.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    for folder in (path, *runs_in(path)):
        if folder.is_dir() and (found := find_last_checkpoint(folder).path) is not None:
            return found
    below = 'pretrain/, baseline/, search/'
    raise FileNotFoundError(
        f'{path}: holds no whole checkpoint of a run, nor does {below} below it'
    )


def embed(
    run: Path | str,
    data: Path | str,
    batch_size: int = 64,
    skip_unreadable: bool = False,
    device: str | None = None,
) -> Embeddings:
    """Extract the features of all images below a folder, squares of the size of the run's views.

    In float32 and evaluation mode; for images of a run they are those its probe sees.

    Args:
        run: A checkpoint, or a run's folder (:func:`find_run_checkpoint`).
        data: Folder of images of any nesting, sizes and modes; hidden folders are left out.
        batch_size: Images at a time.
        skip_unreadable: Whether to leave broken files out in place of an error.
        device: Of the computation; None for the accelerator, or the CPU without one.

    Raises:
        FileNotFoundError: If there is no checkpoint, or there are no images.
        ValueError: If the checkpoint is not of a pretraining or a search, or files are broken.
    """
    check_extraction(data, batch_size)
    data = Path(data)
    checkpoint = find_run_checkpoint(run)
    source = read_pretrained(checkpoint)
    shape = _input_of(checkpoint)
    files, broken, _ = list_images(data)
    if not files:
        raise ValueError(f'{data}: not one of {len(broken)} images can be read')
    refuse_broken(data, broken, skip_unreadable)
    device = device or get_device()
    module = source.build().to(device)
    kept: list[str] = []
    features = []
    for names, images in _batches(data, files, shape.size, batch_size, broken):
        pixels = torch.from_numpy(images).permute(0, 3, 1, 2).to(device).float()
        inputs = (pixels - shape.mean.to(device)) / shape.std.to(device)
        with torch.no_grad():
            features.append(pooled(module(inputs)).cpu().numpy())
        kept += names
    refuse_broken(data, broken, skip_unreadable)
    labels = folder_labels(kept)
    return Embeddings(
        files=tuple(kept),
        features=np.concatenate(features) if features else np.zeros((0, 0), np.float32),
        labels=None if labels is None else tuple(labels),
        left_out=tuple(broken),
        checkpoint=checkpoint,
    )


def _batches(
    folder: Path, files: list[str], size: int, batch_size: int, broken: list[str]
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Read squares, uint8 (N, S, S, 3), batch by batch; add what does not decode to ``broken``."""
    names: list[str] = []
    images: list[np.ndarray] = []
    for name in files:
        try:
            images.append(square(read_image(folder / name), size))
            names.append(name)
        except ValueError:
            broken.append(str(folder / name))
        if len(images) == batch_size:
            yield names, np.stack(images)
            names, images = [], []
    if images:
        yield names, np.stack(images)


def _input_of(checkpoint: Path) -> _Input:
    """Return size, mean and deviation of the images that a checkpoint's network takes.

    Raises:
        ValueError: If its config text does not say so.
    """
    read: Any = read_checkpoint(checkpoint, 'cpu', mmap=True)
    try:
        model = config_within(read)['model']
        found = model['data_preprocessor']
        views = found['views']
        views = views[0] if isinstance(views, (list, tuple)) else views
        size = found.get('eval_size') or views['size']
        mean, std = (torch.tensor([float(x) for x in found[name]]) for name in ('mean', 'std'))
        if not 1 <= int(size) <= 4096 or len(mean) != 3 or len(std) != 3 or not (std > 0).all():
            raise ValueError('impossible')
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        told = 'its config does not tell the size, mean and std of views (TwoViewPreprocessor)'
        mend = 'give a checkpoint of nasiam search or nasiam pretrain'
        raise ValueError(f'{checkpoint}: {told}; {mend}') from error
    return _Input(int(size), mean.view(3, 1, 1), std.view(3, 1, 1))
