# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The lines that load an exported file need neither mmpretrain nor its alarms."""

import subprocess
import sys

from mmpretrain.models import ResNet

from nasiam_mm.export.layouts import _DEPTHS


def test_loading_brings_torchvision_alone():
    code = (
        'import sys, torch\n'
        'from nasiam_mm.export.layouts import ResNetSpec, build_resnet\n'
        "net = build_resnet(ResNetSpec(18, 4, 4, cifar_stem=True), 'torchvision').eval()\n"
        'assert net(torch.zeros(1, 3, 32, 32)).shape == (1, 32)\n'
        "assert not {'mmpretrain', 'mmcv'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, '', '')


def test_depths_are_those_of_mmpretrain():
    theirs = {depth: (block.__name__, n) for depth, (block, n) in ResNet.arch_settings.items()}
    assert theirs == _DEPTHS
