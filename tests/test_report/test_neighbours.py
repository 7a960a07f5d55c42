# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Neighbours are those that brute force finds, and their pictures those of the data set."""

import base64
import io

import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset

from nasiam_mm.files.atomic import write_json
from nasiam_mm.report.neighbours import look_up, read_neighbours


class Colors(Dataset):
    """Images of one colour each, drawn by a seed; three classes."""

    metainfo = {'classes': ('red', 'green', 'blue')}
    pipeline = type('Pipeline', (), {'transforms': []})

    def __init__(self, count, seed):
        self.colors = torch.randint(1, 256, (count, 3), generator=torch.manual_seed(seed))

    def __len__(self):
        return len(self.colors)

    def __getitem__(self, index):
        color = self.colors[index].to(torch.uint8)
        sample = DataSample().set_gt_label(int(color.argmax()))
        return {'inputs': color[:, None, None].expand(3, 80, 80), 'data_samples': sample}


class Mean(nn.Module):
    """A backbone whose features are the mean colour."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def data_preprocessor(self, batch, training):
        return batch

    def extract_feat(self, inputs):
        return (inputs.float(),)


def collate(rows):
    inputs = torch.stack([row['inputs'] for row in rows])
    return {'inputs': inputs, 'data_samples': [row['data_samples'] for row in rows]}


def loader(count, seed):
    return DataLoader(Colors(count, seed), batch_size=16, collate_fn=collate)


def color_of(png):
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))
    assert image.shape == (64, 64, 3)
    return image[32, 32].astype(float)


def test_by_brute_force(tmp_path):
    bank, query = loader(200, 0), loader(50, 1)
    found = look_up(Mean(), bank, query, epoch=3, seed=2)
    assert (found['epoch'], found['bank'], len(found['images'])) == (3, 200, 8)
    rows = bank.dataset.colors.double().numpy()
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    names = Colors.metainfo['classes']
    for row in found['images']:
        color = color_of(row['png'])
        assert row['label'] == names[int(color.argmax())]
        cosines = unit @ (color / np.linalg.norm(color))
        best = np.sort(cosines)[::-1][:7]
        assert [near['cosine'] for near in row['neighbours']] == pytest.approx(best, abs=1e-4)
        for near in row['neighbours']:
            other = color_of(near['png'])
            assert near['label'] == names[int(other.argmax())]
            told = float(color @ other / np.linalg.norm(color) / np.linalg.norm(other))
            assert told == pytest.approx(near['cosine'], abs=1e-4)
    # The classes lead; the same seed draws the same images.
    assert {row['label'] for row in found['images'][:3]} == set(names)
    assert look_up(Mean(), bank, query, 3, seed=2) == found
    assert look_up(Mean(), bank, query, 3, seed=3) != found
    write_json(found, tmp_path / 'n.json')
    assert read_neighbours(tmp_path / 'n.json')['images'] == found['images']


def test_without_labels():
    found = look_up(Mean(), loader(5, 0), loader(4, 1), 1, labelled=False)
    assert len(found['images']) == 4 and len(found['images'][0]['neighbours']) == 5
    assert {near['label'] for row in found['images'] for near in row['neighbours']} == {''}


@pytest.mark.parametrize(
    'broken',
    [{}, [], {'images': 3}, {'epoch': 1, 'bank': 1, 'images': [{'label': 'a', 'png': '"'}]}],
)
def test_another_file_is_refused(tmp_path, broken):
    write_json(broken, tmp_path / 'n.json')
    with pytest.raises(ValueError, match='is none of ours'):
        read_neighbours(tmp_path / 'n.json')
