# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A folder of results for one's own images: their data set, three recipes, what was asked for.

out/  data/  preset.json  simclr_search_photos.py  simclr_pretrain_photos.py  ..._baseline_...
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nasiam_mm.datasets.gathering import NO_LABELS, Gathered, gather
from nasiam_mm.files.atomic import write_json, write_text
from nasiam_mm.files.regular import read_json
from nasiam_mm.files.shipped import framework_names
from nasiam_mm.presets.backbone import Backbone, find_backbone
from nasiam_mm.presets.recipe import PHASES, Recipes, make_recipes, view_load
from nasiam_mm.presets.scale import Machine, Scale, choose_scale, fit_size, this_machine
from nasiam_mm.runs.work_dir import PRESET

_DEFAULT_FRAMEWORK = 'simclr'
_DEFAULT_BACKBONE = {'cpu': 'resnet18_small', 'cuda': 'resnet18'}


@dataclass(frozen=True)
class Asked:
    """What a user says of a recipe for images; None leaves it to the preset.

    Attributes:
        data: Folder of the images.
        framework: One of :func:`framework_names`; SimCLR.
        backbone: See :func:`find_backbone`; a ResNet-18, on a CPU a quarter as wide.
        val: Folder of validation images.
        test: Folder of test images.
        labels: CSV of files and labels, or ``'none'``.
        size: Height and width of the views, pixels.
        skip_unreadable: Whether broken files are left out.
    """

    data: str
    framework: str | None = None
    backbone: str | Mapping[str, Any] | None = None
    val: str | None = None
    test: str | None = None
    labels: str | None = None
    size: int | None = None
    skip_unreadable: bool | None = None


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
    out = Path(out)
    if (record := _read_record(out)) is not None:
        _refuse_other(out, record, asked)
        return Prepared(out, {phase: out / name for phase, name in record['files'].items()})
    machine = machine or this_machine()
    framework = asked.framework or _DEFAULT_FRAMEWORK
    if framework not in (known := framework_names()):
        raise ValueError(f'there is no framework {framework!r:.60}, but {", ".join(known)}')
    fit_size(0, machine, asked.size)
    images = out / 'data'
    was_there, is_new = images.exists(), not out.exists()
    data = gather(
        asked.data,
        images,
        val=asked.val,
        test=asked.test,
        labels=asked.labels,
        size=asked.size,
        skip_unreadable=bool(asked.skip_unreadable),
    )
    try:
        size = fit_size(data.source.size, machine, asked.size)
        wanted = asked.backbone or _DEFAULT_BACKBONE[machine.kind]
        backbone = find_backbone(wanted, size)
        source = data.source
        given = source.parts['train'], size, backbone, machine, 'val' in source.parts
        scale = choose_scale(*given, view_load(framework))
        recipes = make_recipes(
            os.path.abspath(data.root), source, framework, backbone, size, scale, machine
        )
        told = _told(data, framework, backbone, size, scale, machine)
        files = _write(out, recipes, framework, source.name, told)
    except BaseException:
        if not was_there:
            shutil.rmtree(images, ignore_errors=True)
        if is_new:
            shutil.rmtree(out, ignore_errors=True)
        raise
    names = {phase: path.name for phase, path in files.items()}
    write_json({'asked': _as_json(asked), 'files': names, 'told': told}, out / PRESET)
    where = f'recipes, which may be edited: {out}/{framework}_*.py'
    return Prepared(out, files, (*data.notes, told, where))


def _read_record(out: Path) -> dict[str, Any] | None:
    path = out / PRESET
    if not path.exists():
        return None
    try:
        record = read_json(path)
        if set(record['files']) != set(PHASES) or not isinstance(record['asked'], dict):
            raise ValueError('not the record of recipes')
        if gone := [name for name in record['files'].values() if not (out / name).is_file()]:
            raise ValueError(f'its recipe {gone[0]} is not there any more')
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        told = ' '.join(str(error).split())
        raise ValueError(f'{path}: {told:.150}; take another --out, or remove it') from error
    return record


def _refuse_other(out: Path, record: dict[str, Any], asked: Asked) -> None:
    now, then = _as_json(asked), record['asked']
    for field in fields(asked):
        name, value = field.name, now[field.name]
        if value is not None and value != then.get(name):
            flag = f'--{name.replace("_", "-")}'
            mend = f'take another --out, or edit and run the recipes in {out}'
            raise ValueError(
                f'{out}: holds recipes for {flag} {then.get(name)}, not {value}; {mend}'
            )


def _as_json(asked: Asked) -> dict[str, Any]:
    """Return what was asked for as JSON has it, folders by their full names."""
    plain = asdict(asked)
    for name in ('data', 'val', 'test', 'labels'):
        if plain[name] is not None and plain[name] != NO_LABELS:
            plain[name] = os.path.abspath(plain[name])
    plain['skip_unreadable'] = asked.skip_unreadable or None
    return json.loads(json.dumps(plain))


def _told(
    data: Gathered, framework: str, backbone: Backbone, size: int, scale: Scale, machine: Machine
) -> str:
    """Say in one line what was chosen."""
    source = data.source
    counts = ', '.join(f'{count} {part}' for part, count in source.parts.items())
    classes = f'{len(source.classes)} classes' if source.classes else 'no labels'
    how = 'in memory' if scale.is_resident else f'read by {scale.workers} workers'
    search, train = (f'{minutes:.2g}' for minutes in scale.minutes)
    return (
        f'{source.name}: {counts} images, {classes}, {how}; {framework}, {backbone.name} of width '
        f'{backbone.width} at {size} x {size} on {machine.kind}; batch {scale.batch}, '
        f'{scale.search_epochs} epochs of search, {scale.epochs} of pretraining, by FLOPs about '
        f'{search} and {train} minutes'
    )


def _write(out: Path, recipes: Recipes, framework: str, name: str, told: str) -> dict[str, Path]:
    """Write the recipes, with what was chosen in their first line."""
    word = re.sub(r'\W+', '_', name.lower(), flags=re.ASCII).strip('_')[:40] or 'own'
    files = {}
    for phase in PHASES:
        files[phase] = out / f'{framework}_{phase}_{word}.py'
        text = getattr(recipes, phase).pretty_text
        write_text(f'# {told.encode("ascii", "replace").decode()}\n{text}', files[phase])
    return files
