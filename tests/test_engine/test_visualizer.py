# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The visualizer of a run logs as mmengine's does, and draws as it does once there is an image.

1. Scalars are logged without matplotlib, which no training imports, and by each run in its folder.
2. A drawing is that of mmengine's visualizer, pixel by pixel.
"""

import json
import subprocess
import sys
import time

import numpy as np
import torch
from mmengine.visualization import Visualizer

from nasiam_mm.engine.visualizer import ScalarVisualizer
from nasiam_mm.registry import RUNNERS, VISUALIZERS
from tests.reduced import reduced

_CODE = """
import sys
import nasiam_mm.engine
from nasiam_mm.registry import VISUALIZERS
told = dict(type='ScalarVisualizer', vis_backends=[dict(type='LocalVisBackend')])
VISUALIZERS.build(dict(told, save_dir=sys.argv[1], name='a')).add_scalars({'loss': 1.5}, step=3)
print('matplotlib' in sys.modules)
"""


def test_scalars_are_logged_without_matplotlib(tmp_path):
    done = subprocess.run(
        [sys.executable, '-c', _CODE, tmp_path], capture_output=True, text=True, check=True
    )
    assert done.stdout == 'False\n'
    (line,) = (tmp_path / 'vis_data/scalars.json').read_text().splitlines()
    assert json.loads(line) == {'loss': 1.5, 'step': 3}


def test_the_recipes_use_it(tmp_path):
    cfg = reduced('nasiam/simclr_r18_search_cifar10', tmp_path)
    assert VISUALIZERS.get(cfg.visualizer.type) is ScalarVisualizer


def test_two_runs_of_one_second_log_each_in_its_own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(time, 'strftime', lambda *_: '20260101_000000')
    for name in ('one', 'two'):
        cfg = reduced('nasiam/simclr_r18_baseline_cifar10', tmp_path / name)
        cfg.experiment_name = 'same'
        runner = RUNNERS.build(cfg)
        assert runner.experiment_name == 'same_20260101_000000'
        runner.visualizer.add_scalars({name: 1.0}, step=0)
        (file,) = (tmp_path / name).rglob('scalars.json')
        assert json.loads(file.read_text()) == {name: 1.0, 'step': 0}


def test_a_drawing_is_that_of_mmengine():
    image = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    drawn = []
    for kind in (Visualizer, ScalarVisualizer):
        one = kind(name=kind.__name__)
        for _ in range(2):
            one.set_image(image)
            one.draw_bboxes(torch.tensor([[2, 3, 12, 13]]))
        drawn.append(one.get_image())
    assert drawn[0].shape == image.shape
    np.testing.assert_array_equal(*drawn)
