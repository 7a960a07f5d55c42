# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The last whole checkpoint is the one furthest in training, whatever names and pointer say."""

import os

import pytest
import torch

from nasiam_mm.files.checkpoint import read_checkpoint
from nasiam_mm.runs.work_dir import find_last_checkpoint, remove_leftovers
from tests.checkpoints import change_a_weight, cut, save


def test_the_furthest_is_found_whatever_it_is_called(tmp_path):
    save(tmp_path, 'epoch_9.pth', 40, epoch=2)
    newest = save(tmp_path, 'a.pth', 70, epoch=3)
    save(tmp_path, 'iter_70.pth', 70, epoch=2)  # before the end of the epoch
    for name in ('best_acc.pth', 'backbone.pth'):
        torch.save(dict(state_dict={}, meta=dict(iter=999, epoch=9)), tmp_path / name)
    torch.save([1, 2], tmp_path / 'list.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_9.pth'))
    search = find_last_checkpoint(tmp_path)
    assert (search.path, search.epoch, search.iteration) == (newest, 3, 70)
    assert search.notes == ['ignored last_checkpoint: it names epoch_9.pth']


@pytest.mark.parametrize('pointer', [None, '', 'epoch_2.pth', 'gone.pth'])
def test_damaged_ones_are_skipped_and_told(tmp_path, pointer):
    whole = save(tmp_path, 'epoch_1.pth', 7, epoch=1)
    change_a_weight(save(tmp_path, 'epoch_2.pth', 14, epoch=2))
    cut(save(tmp_path, 'epoch_3.pth', 21, epoch=3))
    (tmp_path / 'epoch_4.pth').touch()
    if pointer is not None:
        (tmp_path / 'last_checkpoint').write_text(pointer and str(tmp_path / pointer))
    search = find_last_checkpoint(tmp_path)
    assert search.path == whole
    assert search.notes == [
        'skipped epoch_3.pth: cut short or damaged',
        'skipped epoch_4.pth: cut short or damaged',
        'skipped epoch_2.pth: damaged, a checksum is wrong',
        f'ignored last_checkpoint: it names {pointer or "no file"}',
    ]


def test_a_bit_that_changes_a_name_is_damage_and_no_unsafe_type(tmp_path):
    path = save(tmp_path, 'epoch_1.pth', 7)
    data = bytearray(path.read_bytes())
    data[data.index(b'HistoryBuffer')] ^= 1
    path.write_bytes(data)
    assert find_last_checkpoint(tmp_path).notes == ['skipped epoch_1.pth: cut short or damaged']


def test_what_is_no_file_is_skipped_and_told(tmp_path):
    whole = save(tmp_path, 'epoch_1.pth', 7)
    (tmp_path / 'epoch_2.pth').mkdir()
    (tmp_path / 'epoch_3.pth').symlink_to(tmp_path / 'gone')
    os.mkfifo(tmp_path / 'epoch_4.pth')
    last = find_last_checkpoint(tmp_path)
    assert last.path == whole
    assert last.notes[:3] == [f'skipped epoch_{n}.pth: no regular file' for n in (2, 3, 4)]


def test_one_of_the_schedule_comes_before_one_of_an_interruption(tmp_path):
    save(tmp_path, 'interrupted.pth', 7)
    (tmp_path / 'last_checkpoint').write_text('interrupted.pth')
    assert find_last_checkpoint(tmp_path).path.name == 'interrupted.pth'
    assert find_last_checkpoint(save(tmp_path, 'epoch_1.pth', 7).parent).path.name == 'epoch_1.pth'
    save(tmp_path, 'interrupted.pth', 8)
    assert find_last_checkpoint(tmp_path).path.name == 'interrupted.pth'


def test_nothing_there(tmp_path):
    assert find_last_checkpoint(tmp_path).path is None
    assert find_last_checkpoint(tmp_path / 'none').notes == []


def test_leftovers_go_and_nothing_else(tmp_path):
    (tmp_path / 'genotypes').mkdir()
    left = [
        '.epoch_3.pth.ab12_x9z', '.last_checkpoint.abcdefgh', '.genotype.png.abcdefgh.tmp.png',
        'genotypes/.epoch_1.json.0a1b2c3d.tmp.json', 'last_healthy.tmp',
    ]  # fmt: skip
    kept = ['.hidden', '.config.settings', 'epoch_2.pth', 'notes.tmp', '.epoch_3.pth', 'a.json']
    for name in left + kept:
        (tmp_path / name).touch()
    assert sorted(remove_leftovers(tmp_path)) == sorted(os.path.basename(name) for name in left)
    assert sorted(f.name for f in tmp_path.iterdir() if f.is_file()) == sorted(kept)
    assert list((tmp_path / 'genotypes').iterdir()) == []


@pytest.mark.parametrize('meta', [None, [1], {}, {'iter': '9', 'epoch': 1}, {'iter': 9}])
def test_one_that_does_not_say_how_far_it_is_is_skipped_and_told(tmp_path, meta):
    whole = save(tmp_path, 'epoch_1.pth', 7, epoch=1)
    state = torch.load(whole, weights_only=False)
    torch.save({**state, 'meta': meta}, tmp_path / 'epoch_2.pth')
    last = find_last_checkpoint(tmp_path)
    assert last.path == whole
    assert last.notes[0] == 'skipped epoch_2.pth: does not say how far it is'


def test_a_folder_whose_name_the_locale_cannot_decode(tmp_path):
    folder = tmp_path / os.fsdecode(b'caf\xe9')  # under LC_ALL=C, any name beyond ASCII
    folder.mkdir()
    path = save(folder, 'iter_3.pth', 3, epoch=1)
    assert find_last_checkpoint(folder).path == path
    assert read_checkpoint(path, 'cpu', mmap=True)['meta']['iter'] == 3
