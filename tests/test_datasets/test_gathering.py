# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: any folder of images becomes a data set, and not a byte is written into it.

1. Files of every mode and depth are read as their pixels are; hidden folders are left out.
2. Labels are class folders, a CSV, or none, and one line says where they do not fit.
3. Parts are those given, those of sub-folders, or cut; no image is in two.
4. All broken files are named at once, or left out and listed.
5. What is refused leaves nothing.
"""

import csv
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from nasiam_mm.datasets import Images, describe
from nasiam_mm.datasets.gathering import gather
from tests.test_datasets.photos import write_mixed, write_photos


def tree(folder: Path) -> dict[str, tuple]:
    """Return every name below a folder with its size and time of change."""
    found = {}
    for base, folders, files in os.walk(folder):
        for name in (*folders, *files):
            stat = os.stat(Path(base, name))
            found[os.path.join(base, name)] = stat.st_mtime_ns, stat.st_size
    return found


def test_every_mode_is_read_and_nothing_is_written(tmp_path):
    photos = write_mixed(tmp_path / 'photos')
    before = tree(photos)
    found = gather(photos, tmp_path / 'out/data')
    assert tree(photos) == before
    assert found.source.parts == {'train': 33, 'test': 3} and found.source.stored['test'] == 'train'
    assert list(found.source.classes) == ['cat', 'dog', 'emu']
    assert len(found.notes) == 1 and '.thumbnails' in found.notes[0]
    images = Images(str(found.root), size=32)
    for n in range(len(images)):
        info = images[n]
        mean = info['img'].mean((0, 1))
        grey = '/deep' in info['img_path'] and np.ptp(mean) < 1
        # A colour lies 120 above the others: by a depth or an order misread it would not.
        assert grey or (mean.argmax() == info['gt_label'] and 100 < np.ptp(mean) < 140)
        assert info['img'].shape == (32, 32, 3)


def test_parts_given_share_no_image_and_keep_their_classes(tmp_path):
    photos = write_mixed(tmp_path / 'photos')
    val, test = (write_photos(tmp_path / p, ('cat', 'emu'), 3, 'x') / 'x' for p in ('v', 't'))
    found = gather(photos, tmp_path / 'data', val=val, test=test)
    assert found.source.parts == {'train': 36, 'test': 6, 'val': 6} and not found.source.stored
    labels = {part: Images(str(found.root), part).get_gt_labels() for part in found.source.parts}
    assert labels['val'].tolist() == labels['test'].tolist() == [0] * 3 + [2] * 3
    alone = gather(photos, tmp_path / 'other', val=val).source
    assert alone.parts == {'train': 33, 'test': 3, 'val': 6}
    with pytest.raises(ValueError, match='part val has the classes cow, which the training'):
        gather(photos, tmp_path / 'third', val=write_photos(tmp_path / 'w', ('cat', 'cow'), 2, '.'))


def test_parts_within_the_folder_are_taken(tmp_path):
    photos = write_photos(tmp_path / 'photos', ('cat', 'dog'), 5)
    write_photos(photos, ('cat', 'dog'), 2, 'val')
    assert gather(photos, tmp_path / 'a').source.parts == {'train': 9, 'test': 1, 'val': 4}
    # Given by name a folder within is no class and not trained on either.
    flat = write_mixed(tmp_path / 'mixed', each=6)
    source = gather(flat, tmp_path / 'b', val=flat / 'emu', labels='none').source
    assert source.parts == {'train': 11, 'test': 1, 'val': 6} and not source.classes


def test_labels_of_a_csv(tmp_path):
    photos = write_mixed(tmp_path / 'photos')
    names = [p.relative_to(photos).as_posix() for p in sorted(photos.glob('*/**/*.*'))]
    names = [name for name in names if not name.startswith('.')]
    table = tmp_path / 'labels.csv'

    def write(rows):
        with table.open('w', newline='') as file:
            csv.writer(file).writerows([('file', 'label'), *rows])

    write((name, 10 if name < 'd' else 9) for name in names)
    found = gather(photos, tmp_path / 'data', labels=table)
    assert found.source.classes == ['9', '10']  # as numbers
    images = Images(str(found.root))
    assert all(
        i['gt_label'] == ('/cat/' in i['img_path']) for i in map(images.__getitem__, range(33))
    )
    write((Path(name).name, 'ab'['dog' in name]) for name in names)  # by the name alone
    assert gather(photos, tmp_path / 'by_name', labels=table).source.classes == ['a', 'b']
    write((name, 'x') for name in names[1:])
    with pytest.raises(ValueError, match='1 of 36 images have no label there: cat/'):
        gather(photos, tmp_path / 'less', labels=table)
    table.write_text('file,label\nonly\n')
    with pytest.raises(ValueError, match='row 2: a file and its label, with a comma'):
        gather(photos, tmp_path / 'less', labels=table)


def test_images_beside_folders_have_no_labels(tmp_path):
    photos = write_mixed(tmp_path / 'photos')
    shutil.move(next(photos.glob('cat/*.webp')), photos)
    found = gather(photos, tmp_path / 'data')
    assert not found.source.classes and 'lie in no folder' in found.notes[-1]
    one = gather(photos / 'dog', tmp_path / 'one')
    assert not one.source.classes and one.source.parts['train'] == 11


def test_broken_files_are_named_at_once_or_left_out(tmp_path):
    photos = write_mixed(tmp_path / 'photos')
    bad = [photos / 'cat/text.jpg', photos / 'dog/empty.png', photos / 'dog/deep/cut.jpg']
    bad[0].write_text('no image')
    bad[1].touch()
    bad[2].write_bytes(next(photos.glob('cat/4*.jpg')).read_bytes()[:600])
    # Its header and its end are whole, what is between them is not.
    data = bytearray(next(photos.glob('dog/1*.png')).read_bytes())
    data[60:-16] = bytes(len(data) - 76)
    (photos / 'dog/inside.png').write_bytes(data)
    with pytest.raises(ValueError, match='3 files are no images that can be read') as error:
        gather(photos, tmp_path / 'data')
    assert all(str(path) in str(error.value) for path in bad)
    for path in bad:
        path.rename(tmp_path / path.name)
    with pytest.raises(ValueError, match=f'1 file is .* read: {photos}/dog/inside.png; replace'):
        gather(photos, tmp_path / 'data')
    assert not (tmp_path / 'data').exists()
    for path in bad:
        (tmp_path / path.name).rename(path)
    found = gather(photos, tmp_path / 'data', skip_unreadable=True)
    told = (tmp_path / 'data/meta/left_out.txt').read_text().splitlines()
    assert sorted(told) == sorted(map(str, (*bad, photos / 'dog/inside.png')))
    assert found.source.parts == {'train': 33, 'test': 3} and '4 broken files' in found.notes[-1]
    assert len([Images(str(found.root), size=32)[n] for n in range(33)]) == 33


def test_what_is_refused_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError, match='no folder of images'):
        gather(tmp_path / 'nowhere', tmp_path / 'data')
    (tmp_path / 'few').mkdir()
    with pytest.raises(FileNotFoundError, match='few: no images'):
        gather(tmp_path / 'few', tmp_path / 'data')
    write_photos(tmp_path / 'few', (), 3, '.')
    with pytest.raises(ValueError, match='3 images that can be read are too few'):
        gather(tmp_path / 'few', tmp_path / 'data')
    with pytest.raises(FileNotFoundError, match='--val: '):
        gather(tmp_path / 'few', tmp_path / 'data', val=tmp_path / 'none')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['few']


def test_a_folder_that_says_what_it_holds_is_taken_as_it_is(tmp_path):
    photos = write_photos(tmp_path / 'photos', ('cat', 'dog'), 10)
    source = describe(photos, size=24)
    source.write(photos)
    found = gather(photos, tmp_path / 'data')
    assert found.root == photos and found.source == source and not (tmp_path / 'data').exists()


def test_one_name_in_two_folders_needs_its_path_in_the_list(tmp_path):
    photos = write_photos(tmp_path, ('a', 'b'), 6) / 'train'
    table = tmp_path / 'labels.csv'
    table.write_text(''.join(f'{n}.png,{"xy"[n % 2]}\n' for n in range(6)))
    with pytest.raises(ValueError, match='12 of 12 images have no label there'):
        gather(photos, tmp_path / 'data', labels=table)
    table.write_text('a/0.png;x\n')
    with pytest.raises(ValueError, match='labels.csv, row 1: .* with a comma'):
        gather(photos, tmp_path / 'data', labels=table)


def test_pictures_of_results_are_no_images_to_train_on(tmp_path):
    photos = write_photos(tmp_path, (), 6) / 'train'
    for mark in ('owner.json', 'preset.json'):
        results = photos / mark.removesuffix('.json') / 'search'
        results.mkdir(parents=True)
        (results.parent / mark).write_text('{}')
        shutil.copy(photos / '0.png', results / 'alpha.png')
    found = gather(photos, tmp_path / 'data')
    assert found.source.parts['train'] == 6
    assert 'results, are left out: owner, preset' in found.notes[0]
