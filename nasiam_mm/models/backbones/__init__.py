# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Backbones whose blocks are choices, one space a file."""

from nasiam_mm.models.backbones.cells import ChoiceCells
from nasiam_mm.models.backbones.mobilenet import ChoiceMobileNet
from nasiam_mm.models.backbones.resnet import ChoiceResNet

__all__ = ['ChoiceCells', 'ChoiceMobileNet', 'ChoiceResNet']
