# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pictures of neighbours and embeddings: the right image and colour at its place."""

import runpy

import numpy as np
import pytest
from matplotlib.colors import same_color

from tests.reduced import ROOT

TOOLS = ROOT / 'tools/analysis_tools'
draw_neighbours = runpy.run_path(str(TOOLS / 'nearest_neighbours.py'))['draw_neighbours']
_map = runpy.run_path(str(TOOLS / 'embedding_map.py'))
draw_embedding, embed_in_plane = _map['draw_embedding'], _map['embed_in_plane']


def test_each_image_stands_at_its_place(drawn, tmp_path):
    rng = np.random.default_rng(0)
    queries = rng.integers(0, 256, (2, 4, 4, 3), np.uint8)
    neighbours = rng.integers(0, 256, (2, 3, 4, 4, 3), np.uint8)
    names = [['cat', 'dog', 'cat'], ['dog', 'dog', 'ship']]
    cosines = np.array([[0.9, 0.8, 0.7], [0.6, 0.5, 0.4]])
    draw_neighbours(queries, ['cat', 'dog'], neighbours, names, cosines, tmp_path / 'n.png')
    axes = np.array(drawn[0].axes).reshape(2, 4)
    for line in range(2):
        shown = [ax.images[0].get_array() for ax in axes[line]]
        assert np.array_equal(shown[0], queries[line])
        for column in range(3):
            assert np.array_equal(shown[column + 1], neighbours[line, column])
    assert [ax.get_title() for ax in axes[0]] == ['cat', '0.90', '0.80 dog', '0.70']
    right, wrong = (axes[0, n].spines['top'].get_edgecolor() for n in (1, 2))
    assert not same_color(right, wrong)
    assert same_color(right, axes[1, 1].spines['top'].get_edgecolor())


def test_counts_that_differ_are_refused(tmp_path):
    images = np.zeros((2, 4, 4, 3), np.uint8)
    with pytest.raises(ValueError, match='do not go with'):
        draw_neighbours(
            images, ['a', 'b'], images[:, None], [['a', 'b'], ['a']], np.zeros((2, 1)),
            tmp_path / 'n.png',
        )  # fmt: skip


def test_points_have_the_colour_of_their_class(drawn, tmp_path):
    points = np.arange(12.0).reshape(6, 2)
    labels = np.array([0, 1, 1, 2, 0, 2])
    draw_embedding(points, labels, ['a', 'b', 'c'], tmp_path / 'm.png')
    found = {c.get_label(): c for c in drawn[0].axes[0].collections}
    assert set(found) == {'a', 'b', 'c'}
    assert np.array_equal(found['b'].get_offsets(), points[1:3])
    colors = {tuple(c.get_facecolor()[0]) for c in found.values()}
    assert len(colors) == 3


def test_many_classes_have_no_legend(drawn, tmp_path):
    draw_embedding(
        np.zeros((100, 2)), np.arange(100), list(map(str, range(100))), tmp_path / 'm.png'
    )
    assert drawn[0].axes[0].get_legend() is None


def test_a_map_needs_scikit_learn_and_enough_images(monkeypatch):
    import sys
    import types

    calls = {}

    class TSNE:
        def __init__(self, **options):
            calls.update(options)

        def fit_transform(self, features):
            calls['norms'] = np.linalg.norm(features, axis=1)
            return features[:, :2]

    module = types.ModuleType('sklearn.manifold')
    module.TSNE = TSNE
    monkeypatch.setitem(sys.modules, 'sklearn', types.ModuleType('sklearn'))
    monkeypatch.setitem(sys.modules, 'sklearn.manifold', module)
    features = np.random.default_rng(0).normal(size=(40, 5))
    assert embed_in_plane(features, 10, seed=3).shape == (40, 2)
    assert (calls['perplexity'], calls['random_state']) == (10, 3)
    np.testing.assert_allclose(calls['norms'], 1)
    with pytest.raises(ValueError, match='perplexity 50 needs more than 50 images, got 40'):
        embed_in_plane(features, 50)
