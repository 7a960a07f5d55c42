# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The archive that a checkpoint is: its pickle and the sizes of its storages (contract C11)."""

import struct
import zipfile
from typing import IO


class Refused(Exception):
    """What a pickle holds that no checkpoint does."""


def open_archive(file: IO[bytes], size: int) -> tuple[bytes, dict[str, int]]:
    """Return the pickle of an archive as torch will find it, and each storage's bytes by its key.

    Refused if it would unpack to more than its ``size`` or be read in two ways; any other error if
    it is damaged.
    """
    _check_directory(file, size)
    with zipfile.ZipFile(file) as archive:
        records = archive.infolist()
        names = {record.filename.lower() for record in records}
        stored = all(record.compress_type == zipfile.ZIP_STORED for record in records)
        claimed = sum(max(record.file_size, record.compress_size) for record in records)
        # torch packs nothing: what is packed, or there twice, would unpack to any size.
        if not stored or claimed > size or len(names) < len(records):
            raise Refused(f'{claimed:,} bytes packed into {size:,}')
        # Python cuts a name at a zero byte, and follows a second one.
        if any(record.filename != record.orig_filename for record in records):
            raise Refused('a record of two names')
        root = records[0].filename.split('/', 1)[0]
        data = [record for record in records if record.filename.startswith(f'{root}/data/')]
        sizes = {record.filename.removeprefix(f'{root}/data/'): record.file_size for record in data}
        return archive.read(f'{root}/data.pkl'), sizes


def _check_directory(file: IO[bytes], size: int) -> None:
    """Refuse an archive in which Python and torch would find different lists of records.

    Python takes the list that ends where the end record begins, torch the one whose place that
    record tells; for large archives likewise with the end record itself.
    """
    file.seek(max(0, size - 98))
    tail = file.read()
    mark, length, start, comment = struct.unpack('<4s8x2LH', tail[-22:])
    told = end = size - 22
    if tail[-42:-38] == b'PK\x06\x07':
        end = size - 98
        (told,) = struct.unpack('<Q', tail[-34:-26])
        length, start = struct.unpack('<2Q', tail[40:56])
    if mark != b'PK\x05\x06' or comment:
        raise ValueError('cut short, or followed by something')
    if told != end or start + length != end:
        raise Refused('two lists of its records')
