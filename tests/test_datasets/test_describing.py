# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.

import os
import shutil

import numpy as np
import pytest

from nasiam_mm.cli.main import dispatch
from nasiam_mm.datasets import Images, Source, describe
from nasiam_mm.datasets.folder import left_out, read_image, square
from tests.test_datasets.fake_cifar import ARRAYS, DIGESTS, MINI
from tests.test_datasets.photos import write_photos

TRAIN = ARRAYS['train_images']


def save(folder, **arrays):
    folder.mkdir(exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f'{name}.npy', array)
    return folder


def check_colours(found, images):
    """Recompute mean and deviation over all pixels at once."""
    pixels = np.concatenate([square(i, found.size).reshape(-1, 3) for i in images]).astype(float)
    np.testing.assert_allclose(found.mean, pixels.mean(0), atol=1e-3)
    np.testing.assert_allclose(found.std, pixels.std(0), atol=1e-3)


def test_arrays(tmp_path):
    root = save(tmp_path / 'mine', **ARRAYS)
    found = describe(root)
    check_colours(found, TRAIN)
    assert (found.name, found.source, found.size) == ('mine', 'own', 32)
    assert found.classes == [str(n) for n in range(10)]
    assert found.parts == {'train': 500, 'test': 50} and found.stored == {}
    assert found.digests == DIGESTS
    assert not (root / 'source.json').exists()


def test_arrays_without_test_part_and_labels(tmp_path):
    root = save(tmp_path / 'mine', train_images=TRAIN[:, :24, :20])
    found = describe(root, name='half')
    assert found.parts == {'train': 450, 'test': 50} and found.stored == {'test': 'train'}
    assert found.classes == [] and found.size == 20 and found.name == 'half'
    found.write(root)
    assert describe(root) == found
    assert [len(Images(str(root), split)) for split in found.parts] == [450, 50]
    assert Images(str(root), size=20)[0]['img'].shape == (20, 20, 3)


def test_names_of_classes_written_by_hand_stay(tmp_path):
    root = save(tmp_path / 'mine', train_images=TRAIN, train_labels=np.arange(500) % 2)
    assert describe(root).classes == ['0', '1']
    names = ['cat', 'dog']
    Source('pets', 'own', names, (1, 1, 1), (1, 1, 1), 32, {'train': 1}).write(root)
    assert describe(root).classes == names and describe(root).name == 'pets'


def test_image_files(tmp_path):
    root = write_photos(tmp_path / 'pets', ('cat', 'dog', 'emu'), per_class=7)
    found = describe(root)
    images = [read_image(str(path)) for path in sorted((root / 'train').rglob('*.png'))]
    edges = sorted(min(image.shape[:2]) for image in images)
    assert found.size == edges[len(edges) // 2]
    check_colours(found, images)
    assert found.classes == ['cat', 'dog', 'emu'] and found.name == 'pets'
    assert found.parts == {'train': 19, 'test': 2} and set(found.digests) == {'train'}
    write_photos(root, ('cat', 'dog', 'emu'), per_class=2, part='val')
    found = describe(root, size=16)
    assert found.parts == {'train': 21, 'test': 6} and found.stored == {'test': 'val'}
    assert found.size == 16 and set(found.digests) == {'train', 'val'}
    found.write(root)
    assert len(Images(str(root), 'test')) == 6


def test_flat_folder_without_parts_or_labels(tmp_path):
    root = write_photos(tmp_path, per_class=12, part='heap') / 'heap'
    (root / 'notes.txt').write_text('not an image')
    (root / '.hidden.png').write_text('neither')
    found = describe(root)
    assert found.classes == [] and found.parts == {'train': 11, 'test': 1}
    found.write(root)
    assert sorted(Images(str(root)).data_list + Images(str(root), 'test').data_list) == [*range(12)]


def test_unreadable_files_are_told_together(tmp_path):
    root = write_photos(tmp_path / 'pets', ('cat',), per_class=9)
    for number in (1, 3, 4, 6):
        (root / f'train/cat/{number}.png').write_bytes(b'')
    with pytest.raises(ValueError) as info:
        describe(root, size=16)
    told = ', '.join(f'{root}/train/cat/{number}.png' for number in (1, 3, 4))
    assert str(info.value) == (
        f'no images that OpenCV reads: {told} and 1 more; replace or remove them, or '
        'pass over them: --skip-unreadable'
    )


def test_what_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'holds CIFAR10 \(subset\)'):
        describe(MINI)
    with pytest.raises(FileNotFoundError, match=f'{tmp_path}: no images'):
        describe(tmp_path)
    write_photos(tmp_path, ('cat',), per_class=1)
    write_photos(tmp_path, per_class=2)
    with pytest.raises(ValueError, match='train: 2 images, such as 0.png, lie beside the'):
        describe(tmp_path)
    root = save(tmp_path / 'x', train_images=TRAIN, train_labels=np.full(500, -1))
    with pytest.raises(ValueError, match='label -1 is not from 0 to 99999'):
        describe(root)
    # A number that would ask for as many names of classes.
    save(root, train_images=TRAIN, train_labels=np.append(np.zeros(499, int), 10**15))
    with pytest.raises(ValueError, match='label 1000000000000000 is not from 0 to 99999'):
        describe(root)
    save(root, train_images=TRAIN, train_labels=np.zeros(499, int))
    with pytest.raises(ValueError, match='train_images.npy: 500 images with 499 labels'):
        describe(root)
    save(root, train_images=TRAIN[:0], train_labels=np.zeros(0, int))
    with pytest.raises(ValueError, match='train_images.npy: holds no image'):
        describe(root)
    for size in (0, -3, 10**8):
        with pytest.raises(ValueError, match=f'--size must be from 1 to 4096, got {size}'):
            describe(root, size=size)


def test_what_is_no_file_is_told_and_not_waited_for(tmp_path):
    root = write_photos(tmp_path / 'pets', ('cat',), per_class=9)
    os.mkfifo(root / 'train/cat/pipe.png')
    os.symlink('nowhere', root / 'train/cat/link.png')
    with pytest.raises(ValueError, match='no images that OpenCV reads: .*link.png, .*pipe.png; re'):
        describe(root, size=16)


def test_images_of_one_colour_have_a_deviation(tmp_path):
    root = save(tmp_path / 'x', train_images=np.full((9, 8, 8, 3), 7, np.uint8))
    found = describe(root)
    assert found.mean == [7, 7, 7] and found.std == [1, 1, 1] and found.parts == {'train': 9}


def test_what_tools_put_beside_images_is_no_class_and_is_named(tmp_path, capsys):
    root = write_photos(tmp_path / 'pets', ('cat', 'dog'), per_class=5)
    for name in ('.ipynb_checkpoints', '@eaDir', '__MACOSX', 'cat/.thumbs'):
        shutil.copytree(root / 'train/dog', root / 'train' / name)
    (root / 'train/emu').symlink_to(root / 'train/dog')
    (root / 'train/empty').mkdir()
    dispatch(['data', 'describe', str(root)])
    told = capsys.readouterr().out
    assert 'left out are hidden and linked folders, and results: train/.ipynb_checkpoints, ' in told
    assert left_out(root)[-1] == 'train/cat/.thumbs' and 'train/emu' in left_out(root)
    assert Source.read(root).classes == ['cat', 'dog']
    assert Source.read(root).parts == {'train': 9, 'test': 1}


def test_a_val_part_alone_is_said_to_be_the_test_set(tmp_path, capsys):
    root = write_photos(tmp_path / 'pets', ('cat', 'dog'), per_class=5)
    dispatch(['data', 'describe', str(root)])
    assert 'is the test set' not in capsys.readouterr().out
    shutil.copytree(root / 'train', root / 'val')
    dispatch(['data', 'describe', str(root)])
    told = 'val, its only other part, is the test set here, as ImageNet lies'
    assert told in capsys.readouterr().out
    assert Source.read(root).stored == {'test': 'val'}


@pytest.mark.parametrize(
    ('name', 'content', 'told'),
    [
        ('train_images.npy', b'PK\x03\x04', 'truncated or not a .npy file'),
        ('train_images.npy', None, 'truncated or not a .npy file'),
        ('train_images.npy', np.zeros((4, 0, 8, 3), np.uint8), 'expected uint8'),
        ('meta/train.txt', b'\xff\xfe', 'train.txt: a line is not a file and its label'),
        ('meta/train.txt', b'a.png 99999999999999999999999', 'train.txt: a line is not'),
        ('meta/train.txt', b'', 'train.txt: a line is not a file and its label: it is empty'),
    ],
)
def test_other_files_end_in_a_line(tmp_path, name, content, told):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    if content is None:
        os.mkfifo(path)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    with pytest.raises(ValueError, match=told) as caught:
        describe(tmp_path)
    assert len(str(caught.value)) <= 500


def test_files_that_cannot_be_read_are_passed_over_where_asked(tmp_path):
    root = write_photos(tmp_path / 'photos', ('a', 'b'))
    whole = describe(root, size=24)
    broken = root / 'train/b/broken.png'
    broken.write_text('no image')
    with pytest.raises(ValueError, match='pass over them: --skip-unreadable'):
        describe(root, size=24)
    others = describe(root, size=24, skip_unreadable=True)
    assert (others.mean, others.std, others.size) == (whole.mean, whole.std, whole.size)
    # It is a file of the folder, which a training counts and leaves out.
    assert sum(others.parts.values()) == sum(whole.parts.values()) + 1
    for path in root.rglob('*.png'):
        path.write_text('no image')
    with pytest.raises(ValueError, match='no images that OpenCV reads'):
        describe(root, size=24, skip_unreadable=True)
