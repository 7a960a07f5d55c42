# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A folder of results for one's own images: their data set, three recipes, what was asked for.

out/  data/  preset.json  simclr_search_photos.py  simclr_pretrain_photos.py  ..._baseline_...
"""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasiam_mm.datasets.gathering import Gathered, gather
from nasiam_mm.datasets.source import Source
from nasiam_mm.files.atomic import write_json, write_text
from nasiam_mm.files.config_file import braces_kept, config_as_text
from nasiam_mm.files.marks import PRESET
from nasiam_mm.presets.asked import DEFAULT_FRAMEWORK, PHASES, Asked, refuse_asked
from nasiam_mm.presets.backbone import Backbone, find_backbone, refuse_backbone
from nasiam_mm.presets.place import IMAGES, alone_in, remove_unfinished
from nasiam_mm.presets.recipe import Recipes, make_recipes, view_load
from nasiam_mm.presets.scale import Machine, Scale, choose_scale, fit_size, this_machine
from nasiam_mm.refusals import plain
from nasiam_mm.wording import counted

_DEFAULT_BACKBONE = {'cpu': 'resnet18_small', 'cuda': 'resnet18'}


@dataclass(frozen=True)
class Prepared:
    """Recipes in a folder: their files by phase, the folder of images, what to tell a user."""

    out: Path
    files: dict[str, Path]
    lines: tuple[str, ...] = ()


def prepare(out: Path | str, asked: Asked, machine: Machine | None = None) -> Prepared:
    """Write recipes for images into a folder, or find those that an earlier call has written.

    They may be edited, and are not written again.

    Args:
        out: The folder; made when there is none.
        asked: What is wanted. Of recipes that are there already, what is not said is as it was.
        machine: What trains; None for this one.

    Raises:
        FileNotFoundError: If there are no images.
        ValueError: If something asked for is not possible, or the folder holds recipes for else;
            nothing is written then.
    """
    record, out = refuse_asked(out, asked), Path(out)
    if record is not None:
        return _found(out, record)
    machine = machine or this_machine()
    framework = asked.framework or DEFAULT_FRAMEWORK
    with alone_in(out):
        if (record := refuse_asked(out, asked)) is not None:  # of another process, meanwhile
            return _found(out, record)
        return _make(out, asked, framework, machine)


def _found(out: Path, record: dict[str, Any]) -> Prepared:
    return Prepared(out, {phase: out / name for phase, name in record['files'].items()})


def _make(out: Path, asked: Asked, framework: str, machine: Machine) -> Prepared:
    images = out / IMAGES
    remove_unfinished(images, asked.data)
    if os.path.lexists(images):
        told = 'is there already, where the lists of the images go'
        raise ValueError(f"--out: '{images}' {told}; take another --out")
    wanted = _DEFAULT_BACKBONE[machine.kind] if asked.backbone is None else asked.backbone
    refuse_backbone(wanted)
    files: dict[str, Path] = {}
    before = set(out.iterdir())
    try:
        data = gather(
            asked.data,
            images,
            val=asked.val,
            test=asked.test,
            labels=asked.labels,
            size=asked.size,
            skip_unreadable=bool(asked.skip_unreadable),
        )
        source = data.source
        size = fit_size(source.size, machine, asked.size)
        backbone = find_backbone(wanted, size)
        given = source.parts['train'], size, backbone, machine, 'val' in source.parts
        scale = choose_scale(*given, view_load(framework))
        _refuse_few(asked.data, source, scale)
        recipes = make_recipes(
            os.path.abspath(data.root), source, framework, backbone, size, scale, machine
        )
        told = _told(data, framework, backbone, size, scale, machine)
        _write(out, recipes, framework, source.name, told, files)
        names = {phase: path.name for phase, path in files.items()}
        write_json({'asked': asked.as_json(), 'files': names, 'told': told}, out / PRESET)
    except BaseException:
        shutil.rmtree(images, ignore_errors=True)
        for path in set(files.values()) - before:
            path.unlink(missing_ok=True)
        raise
    where = f'recipes, which may be edited: {out}/{framework}_*.py'
    return Prepared(out, files, (*data.notes, told, where))


def _refuse_few(data: str, source: Source, scale: Scale) -> None:
    """Refuse, with a ValueError, parts that no step or no measure can be made of."""
    least, held = 1 if source.classes else 2, source.parts.get('val', scale.val)  # RankMe's two
    if scale.weights < 2 or held < least:
        told = f'{source.parts["train"]} images to train on and {held} of them for validation'
        if 'val' in source.parts:
            told = told.replace('of them ', '')
        mend = f'{4 + least} at least are needed, or 4 and {least} of --val'
        raise ValueError(f'{data}: {told} are too few; {mend}')


def _told(
    data: Gathered, framework: str, backbone: Backbone, size: int, scale: Scale, machine: Machine
) -> str:
    """Say in one line what was chosen."""
    source = data.source
    counts = ', '.join(f'{count} {part}' for part, count in source.parts.items())
    classes = counted(len(source.classes), 'class') if source.classes else 'no labels'
    how = 'in memory' if scale.is_resident else f'read by {counted(scale.workers, "worker")}'
    search, train = (f'{minutes:.2g}' for minutes in scale.minutes)
    return (
        f'{source.name}: {counts} images, {classes}, {how}; {framework}, {backbone.name} of width '
        f'{backbone.width} at {size} x {size} on {machine.kind}; batch {scale.batch}, '
        f'in the recipes {counted(scale.search_epochs, "epoch")} of search, {scale.epochs} of '
        f'pretraining, by FLOPs about {counted(search, "minute")} and {counted(train, "minute")}'
    )


def _write(
    out: Path, recipes: Recipes, framework: str, name: str, told: str, files: dict[str, Path]
) -> None:
    """Write the recipes, with what was chosen in their first line, and note them in ``files``."""
    word = re.sub(r'\W+', '_', name.lower(), flags=re.ASCII).strip('_')[:40] or 'own'
    for phase in PHASES:
        path = out / f'{framework}_{phase}_{word}.py'
        text = config_as_text(getattr(recipes, phase))
        head = braces_kept(plain(told)).encode('ascii', 'replace').decode()
        files[phase] = path
        write_text(f'# {head}\n{text}', path)
