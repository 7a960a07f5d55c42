# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""mmpretrain's SimSiam with our heads computes SimSiam's equations 1 and 2, stop-gradient included.

(NASiam writes them as its equations 2 and 3.)
"""

import copy

import torch

from tests.test_models.test_algorithms.toys import build, unit, views


def paper(model, view1, view2, stop=torch.Tensor.detach):
    """L = D(p1, stopgrad(z2)) / 2 + D(p2, stopgrad(z1)) / 2, D the mean negative cosine."""
    z1, z2 = (model.neck(model.backbone(view))[0] for view in (view1, view2))
    p1, p2 = (model.head.predictor([z])[0] for z in (z1, z2))
    total = 0
    for n in range(len(z1)):
        d12 = -torch.dot(unit(p1)[n], unit(stop(z2))[n])
        d21 = -torch.dot(unit(p2)[n], unit(stop(z1))[n])
        total = total + d12 / 2 + d21 / 2
    return total / len(z1)


def gradients(loss, model):
    weights = [p for p in model.parameters() if p.requires_grad]
    return torch.autograd.grad(loss, weights, materialize_grads=True)


def test_loss_and_gradient_are_those_of_the_paper():
    model = build('SimSiam')
    twin, data = copy.deepcopy(model), views()
    loss, expected = model.loss(data, None)['loss'], paper(twin, *data)
    torch.testing.assert_close(loss, expected)
    for ours, theirs in zip(gradients(loss, model), gradients(expected, twin), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-4)


def test_gradient_without_the_stop_is_another():
    model = build('SimSiam')
    twin, data = copy.deepcopy(model), views()
    ours = gradients(model.loss(data, None)['loss'], model)
    theirs = gradients(paper(twin, *data, stop=lambda z: z), twin)
    assert any(not torch.allclose(a, b, atol=1e-3) for a, b in zip(ours, theirs, strict=True))
