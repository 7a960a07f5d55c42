# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features of images, and weights for other libraries, by what a run has left."""

import os
from pathlib import Path

from nasiam_mm.api.quiet import quietly
from nasiam_mm.api.results import Pretraining, Search, path_of
from nasiam_mm.export.asked import check_target
from nasiam_mm.export.embeddings import Embeddings, find_run_checkpoint
from nasiam_mm.export.embeddings import embed as _embed
from nasiam_mm.presets.asked import check_flag

Run = str | os.PathLike | Pretraining | Search


def embed(
    run: Run,
    data: str | os.PathLike,
    out: str | os.PathLike | None = None,
    *,
    batch_size: int = 64,
    skip_unreadable: bool = False,
    quiet: bool = True,
) -> Embeddings:
    """Extract the features of all images below a folder, as ``nasiam embed`` does.

    Args:
        run: A result, a checkpoint, or a folder of a run or of results.
        data: Folder of images of any nesting, sizes and modes.
        out: File to write as well: ``.npz``, ``.csv`` or, with pyarrow, ``.parquet``.
        batch_size: Images at a time.
        skip_unreadable: Whether to leave broken files out in place of an error.
        quiet: Whether to print nothing.

    Returns:
        ``files``, ``features``, float32 (N, D), and ``labels`` of class folders or None.

    Raises:
        FileNotFoundError: If there is no checkpoint, or there are no images.
        ValueError: If a file is broken, or the checkpoint tells too little of its run.
        ModuleNotFoundError: If ``out`` needs pyarrow and there is none.
    """
    from nasiam_mm.export.tables import check_table_path, write_embeddings

    file = None if out is None else Path(path_of('out', out))
    if file is not None:
        check_table_path(file)
    check_flag('skip_unreadable', skip_unreadable)
    with quietly(quiet):
        given = _folder(run), Path(path_of('data', data))
        found = _embed(*given, batch_size, skip_unreadable)
        if file is not None:
            write_embeddings(found, file)
    return found


def export(
    run: Run, out: str | os.PathLike, *, layout: str = 'mmengine', quiet: bool = True
) -> Path:
    """Write a run's backbone for another library, proven equal, as ``nasiam export`` does.

    Args:
        run: A result, a checkpoint, or a folder of a run or of results.
        out: File to write: ``.pth``, or ``.safetensors`` for torchvision and timm.
        layout: ``'mmengine'``, ``'torchvision'`` or ``'timm'``, the latter two of ResNets.
        quiet: Whether to print nothing.

    Returns:
        The file.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If the backbone does not go into that layout; nothing is written then.
    """
    from nasiam_mm.export import export_backbone, read_pretrained

    file = Path(path_of('out', out))
    with quietly(quiet):
        check_target(file, layout)
        export_backbone(read_pretrained(find_run_checkpoint(_folder(run))), file, layout)
    return file


def _folder(run: Run) -> Path:
    return run.folder if isinstance(run, (Pretraining, Search)) else Path(path_of('run', run))
