# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Steps for regularizers to look at, in float64: an owner of alpha alone, off its start."""

from types import SimpleNamespace

import torch

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.ops.candidates import LayerShape
from nasiam_mm.search.gradient.regularizers import AlphaStep
from tests.small import SPACE

SHAPES = LayerShape(8, 8), LayerShape(8, 6), LayerShape(6, 4, True)


def owner_of_alpha(relaxation='Softmax', shapes=SHAPES, space=SPACE, **settings):
    """Owner of one head's alpha, random, asking for a gradient."""
    choices = {'projector': op_choices('projector', space, shapes)}
    owner = Architecture(choices, dict(type=relaxation, **settings)).double()
    torch.nn.init.normal_(owner.alpha('projector'))
    owner.alpha('projector').requires_grad_(True)
    return owner


def model_of(owner, shapes=SHAPES, space=SPACE):
    """What a regularizer asks of an algorithm."""
    cells = {'projector': [SimpleNamespace(space=space, shapes=shapes)]}
    told = dict(searched_cells=lambda: cells, modules=lambda: iter(()))
    return SimpleNamespace(architecture=owner, **told)


def step_of(owner, loss=None, embeddings=(), **widths):
    """An alpha step halfway."""
    return AlphaStep(model_of(owner, **widths), owner, loss, embeddings, 0.5)


def gradient_of(term, step):
    """Value and gradient to alpha, (L, K), of a term without its factor."""
    alpha = step.architecture.alpha('projector')
    value = term.value(step)
    return value.detach(), torch.autograd.grad(value, alpha)[0]


def finite_differences(term, step, width=1e-6):
    """Gradient to alpha by central differences, (L, K)."""
    alpha = step.architecture.alpha('projector')
    found = torch.zeros_like(alpha)
    with torch.no_grad():
        for place in torch.cartesian_prod(*map(torch.arange, alpha.shape)).tolist():
            values = []
            for sign in (1, -1):
                alpha[tuple(place)] += sign * width
                values.append(term.value(step))
                alpha[tuple(place)] -= sign * width
            found[tuple(place)] = (values[0] - values[1]) / (2 * width)
    return found
