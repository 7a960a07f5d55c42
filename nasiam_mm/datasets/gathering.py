# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A user's folder of images as a data set, without a file written into it.

    out/  source.json  meta/train.csv  meta/left_out.txt  train -> the user's folder  val -> ...

The listings hold what is trained on; the links lead to the images.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

from nasiam_mm.datasets.describing import describe
from nasiam_mm.datasets.folder import image_files, left_out, open_part, part_digests
from nasiam_mm.datasets.headers import count_broken, name_some, read_headers
from nasiam_mm.datasets.listing import class_names, label_files, read_labels, write_listing
from nasiam_mm.datasets.source import NO_LABELS, Source, read_source
from nasiam_mm.files.atomic import write_text
from nasiam_mm.refusals import printable

_LEAST = 4  # images: two for the weights, two for alpha


@dataclass(frozen=True)
class Gathered:
    """A data set to train on: its folder, what that says of itself, what a user should know."""

    root: Path
    source: Source
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Part:
    folder: Path
    files: list[str]
    labels: list[str] | None


def gather(
    data: Path | str,
    out: Path | str,
    val: Path | str | None = None,
    test: Path | str | None = None,
    labels: Path | str | None = None,
    size: int | None = None,
    skip_unreadable: bool = False,
) -> Gathered:
    """Make a data set of a folder of images of any nesting, sizes and modes.

    A folder that says what it holds (``source.json``, arrays, a published set) is taken as it is,
    if nothing else is asked for. Otherwise ``out`` is made, whole or not at all. Sub-folders
    ``train``, ``val`` and ``test`` are its parts; without a test part a tenth of the training
    images is set aside for one. Labels are the outermost folders, where every image is in one of
    two or more; hidden and linked folders are left out.

    Args:
        data: Folder of the images.
        out: Folder to make, which must not be there.
        val: Folder of validation images; None for ``data/val``, if any.
        test: Likewise.
        labels: CSV of files and labels, ``'none'`` to use no labels, None for those of the folders.
        size: Side of the squares that mean and deviation are measured on; None to choose one.
        skip_unreadable: Whether to leave broken files out, and list them, in place of an error.

    Raises:
        FileNotFoundError: If a folder, its images or the CSV are not there.
        ValueError: If files are broken, labels are missing or classes differ between parts.
    """
    data, out = Path(data), Path(out)
    asked = (val, test, labels)
    if asked == (None, None, None) and not skip_unreadable and (own := _described(data)):
        return Gathered(data, own)
    if not data.is_dir():
        raise FileNotFoundError(f"'{data}' does not exist, or is no folder of images")
    if (data / 'train_images.npy').exists():
        mend = f"run 'nasiam data describe {data}' and leave --val, --test and --labels out"
        raise ValueError(f'{data}: holds arrays, whose parts are files beside them; {mend}')
    notes, broken = [], []
    folders = {part: _folder(data, part, given) for part, given in _parts(val, test).items()}
    parts: dict[str, _Part] = {}
    for part, folder in folders.items():
        if folder is None:
            continue
        others = {**folders, 'results': out.parent} if part == 'train' else {}
        files, faults, hidden = list_images(folder, others)
        broken += faults
        if hidden:
            told = 'hidden and linked folders, and results, are left out'
            notes.append(f'{folder}: {told}: {name_some(hidden)}')
        parts[part] = _Part(folder, files, None)
    refuse_broken(data, broken, skip_unreadable)
    parts, more = _labelled(parts, data, labels)
    notes += more
    if len(parts['train'].files) < _LEAST:
        few = f'{len(parts["train"].files)} images that can be read'
        raise ValueError(f'{data}: {few} are too few to search or to train on; {_LEAST} at least')
    source = _write(
        out, parts, printable(data.resolve().name) or 'images', size, broken, skip_unreadable
    )
    if broken:
        listing = out / 'meta/left_out.txt'
        notes.append(f'{count_broken(len(broken))} left out: {name_some(broken)} ({listing})')
    return Gathered(out, source, tuple(notes))


def _described(data: Path) -> Source | None:
    try:
        return read_source(data)
    except FileNotFoundError:
        return None


def _parts(val: Path | str | None, test: Path | str | None) -> dict[str, Path | None]:
    given = {'train': None, 'val': val, 'test': test}
    return {part: None if path is None else Path(path) for part, path in given.items()}


def _folder(data: Path, part: str, given: Path | None) -> Path | None:
    """Return where the images of a part lie, None where it has none."""
    if given is not None:
        if not given.is_dir():
            raise FileNotFoundError(f"--{part}: '{given}' does not exist, or is no folder")
        return given
    if (data / 'train').is_dir():
        return data / part if (data / part).is_dir() else None
    return data if part == 'train' else None


def list_images(
    folder: Path, others: Mapping[str, Path | None] = MappingProxyType({})
) -> tuple[list[str], list[str], list[str]]:
    """List the image files of a folder, those that are broken, and the folders left out.

    Folders of other parts that lie within are not looked into.
    """
    inside = [
        other.resolve().relative_to(folder.resolve()).as_posix() + '/'
        for other in others.values()
        if other is not None and other.resolve().is_relative_to(folder.resolve())
    ]
    inside = [place for place in inside if place != './']
    files = [name for name in image_files(folder) if not name.startswith(tuple(inside))]
    if not files:
        raise FileNotFoundError(f'{folder}: no images')
    for name in files:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ValueError(f'{folder}: the name {name!r} is not UTF-8; rename it') from None
    faults, _ = read_headers([folder / name for name in files])
    broken = [str(folder / files[n]) for n in sorted(faults)]
    whole = [name for n, name in enumerate(files) if n not in faults]
    return whole, broken, left_out(folder)


def refuse_broken(data: Path, broken: list[str], skip: bool) -> None:
    """Raise ValueError, which names them, for broken files unless they are to be passed over."""
    if broken and not skip:
        what = 'file is no image' if len(broken) == 1 else 'files are no images'
        told = f'{len(broken)} {what} that can be read: {name_some(broken)}'
        raise ValueError(f'{data}: {told}; replace them, or pass over them: --skip-unreadable')


def _labelled(
    parts: dict[str, _Part], data: Path, labels: Path | str | None
) -> tuple[dict[str, _Part], list[str]]:
    """Give every part its labels: of a CSV, of its folders, or none; and say what was found."""
    if labels is not None and str(labels) == NO_LABELS:
        return parts, []
    if labels is not None:
        table = read_labels(path := Path(labels))
        found = {k: label_files(part.files, table, path) for k, part in parts.items()}
    else:
        tops = {k: folder_labels(part.files) for k, part in parts.items()}
        if tops['train'] is None:
            loose = [name for name in parts['train'].files if '/' not in name]
            if loose and len(loose) < len(parts['train'].files):
                told = f'{len(loose)} images, such as {name_some(loose[:1])}, lie in no folder'
                return parts, [f'{data}: {told}, so folders are not taken for labels']
            return parts, []
        if bare := [name for name, found in tops.items() if found is None]:
            mend = 'give it the same ones, or use no labels: --labels none'
            raise ValueError(f'{data}: part {bare[0]} has no folders of classes; {mend}')
        found = {name: top for name, top in tops.items() if top is not None}
    known = set(found['train'])
    for name, own in found.items():
        if more := sorted(set(own) - known):
            told = f'has the classes {name_some(more)}, which the training images do not have'
            raise ValueError(f'part {name} {told}; give it the same ones, or use --labels none')
    if len(known) < 2:
        return parts, [f'{data}: there is one class, so labels are not used']
    return {k: replace(part, labels=found[k]) for k, part in parts.items()}, []


def folder_labels(files: Sequence[str]) -> list[str] | None:
    """Return the outermost folder of each file; None unless each is in one of two or more."""
    tops = [name.split('/')[0] for name in files if '/' in name]
    return tops if len(tops) == len(files) and len(set(tops)) > 1 else None


def _write(
    out: Path, parts: dict[str, _Part], name: str, size: int | None, broken: list[str], skip: bool
) -> Source:
    """Write the folder, and return what it says of itself."""
    with new_folder(out) as made:
        for part in ('train', 'test'):
            if part in parts:
                _place(made, part, parts[part])
        # What has a good header may still not decode; it is found by reading all pixels.
        found: list[str] = []
        source = describe(made, name, size, True, found)
        if found:
            own = parts['train']
            broken += [str(own.folder / Path(file).relative_to(made / 'train')) for file in found]
            refuse_broken(own.folder, broken, skip)
            keep = [n for n, f in enumerate(own.files) if str(own.folder / f) not in set(broken)]
            files = [own.files[n] for n in keep]
            names = own.labels and [own.labels[n] for n in keep]
            write_listing(made / 'meta/train.csv', files, names)
            source = describe(made, name, size)
        if (own := parts['train']).labels is not None:
            source = replace(source, classes=class_names(own.labels))
        if 'val' in parts:  # after describe(), which would take it for a test part
            _place(made, 'val', parts['val'])
            images, labels = open_part(made, 'val', source)
            digests = {**source.digests, **part_digests(made, 'val', images, labels)}
            source = replace(source, parts={**source.parts, 'val': len(images)}, digests=digests)
        source.write(made)
        if broken:
            write_text('\n'.join(broken) + '\n', made / 'meta/left_out.txt')
    return source


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Lend a folder beside a place and move it there at the end, or remove it.

    Raises:
        ValueError: If something is there.
    """
    if out.exists():
        raise ValueError(f"'{out}' is there already; take another folder, or remove it")
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f'.{out.name}.', suffix='.tmp', dir=out.parent))
    try:
        yield made
        made.chmod(0o777 & ~_umask())
        os.rename(made, out)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _place(made: Path, part: str, own: _Part) -> None:
    """Link to the images of a part, and list them."""
    (made / part).symlink_to(own.folder.resolve(), target_is_directory=True)
    write_listing(made / f'meta/{part}.csv', own.files, own.labels)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
