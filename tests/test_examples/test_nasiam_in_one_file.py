# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: the method in one file of plain torch is the package's, in float64 to 1e-9.

Weights and alpha are copied from ours to theirs, and back after they were changed there.
"""

import ast
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from examples import nasiam_in_one_file as one_file
from nasiam_mm.models import SimCLR
from nasiam_mm.search.gradient.gradients import alpha_gradients
from tests.forked import run_forked
from tests.small import batch, build, tensors

FILE = Path(one_file.__file__)
HEAD = dict(type='HeadMLP', name='projector', in_channels=16, hidden_channels=24, depth=4)


class Pooled(nn.Module):
    """Our backbone as the file takes one: (N, 3, H, W) to (N, D)."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        return self.backbone(images)[-1].mean((2, 3))


@torch.no_grad()
def copy(source: nn.Module, target: nn.Module) -> None:
    """Copy all weights and statistics in order, which both heads hold them in."""
    ours, theirs = source.state_dict(), target.state_dict()
    for one, other in zip(ours.values(), theirs.values(), strict=True):
        assert one.shape == other.shape
        other.copy_(one)


@pytest.fixture
def both() -> tuple[SimCLR, one_file.Head, Tensor]:
    ours = build('simclr', neck=dict(HEAD, out_channels=12)).double()
    theirs = one_file.Head(16, 24, 12, 4).double()
    theirs.output = nn.Linear(24, 12, bias=ours.neck.output[0].bias is not None).double()
    copy(ours.neck, theirs)
    alpha = ours.architecture.alpha('projector').double().clone().requires_grad_()
    return ours, theirs, alpha


def gradient_of(ours: SimCLR, data: dict) -> tuple[Tensor, Tensor]:
    loss, (gradient,) = alpha_gradients(ours, data, ours.architecture.alphas())
    return loss, gradient


def test_loss_gradient_and_step_are_ours(both):
    ours, theirs, alpha = both
    backbone = Pooled(ours.backbone)
    temperature = 0.2
    stepped = [
        torch.optim.Adam([a], lr=1e-2, weight_decay=1e-3)
        for a in (alpha, *ours.architecture.alphas())
    ]
    assert alpha.std() > 0.1
    for _ in range(3):
        data = batch(dtype=torch.float64)
        views = torch.cat(data['inputs'])
        before = tensors(ours), tensors(theirs)
        loss, gradient = one_file.alpha_gradient(backbone, theirs, alpha, views, temperature)
        our_loss, our_gradient = gradient_of(ours, data)
        torch.testing.assert_close(loss, our_loss, rtol=0, atol=1e-9)
        torch.testing.assert_close(gradient, our_gradient, rtol=0, atol=1e-9)
        assert gradient.abs().max() > 1e-4
        (own,) = ours.architecture.alphas()
        own.grad = our_gradient
        stepped[1].step()
        one_file.alpha_step(stepped[0], backbone, theirs, alpha, views, temperature)
        torch.testing.assert_close(alpha.detach(), own, rtol=0, atol=1e-9)
        assert alpha.grad is None
        # Pure: alpha moved, and nothing else.
        for now, then in ((tensors(ours), before[0]), (tensors(theirs), before[1])):
            changed = {name for name in then if not torch.equal(now[name], then[name])}
            assert changed <= {'architecture.alpha_projector'}


def test_weights_and_alpha_go_back(both):
    ours, theirs, alpha = both
    with torch.no_grad():
        for weight in theirs.parameters():
            weight += 0.1 * torch.randn_like(weight)
        alpha += torch.randn_like(alpha)
    data = batch(dtype=torch.float64)
    loss, gradient = one_file.alpha_gradient(
        Pooled(ours.backbone), theirs, alpha, torch.cat(data['inputs']), 0.2
    )
    assert not torch.allclose(gradient_of(ours, data)[0], loss)
    copy(theirs, ours.neck)
    ours.architecture.alpha('projector').copy_(alpha.detach())
    our_loss, our_gradient = gradient_of(ours, data)
    torch.testing.assert_close(our_loss, loss, rtol=0, atol=1e-9)
    torch.testing.assert_close(our_gradient, gradient, rtol=0, atol=1e-9)


def test_it_is_one_short_file_of_torch_alone_and_runs():
    text = FILE.read_text(encoding='utf-8')
    assert len(text.splitlines()) <= 150
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split('.')[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, (ast.Import, ast.ImportFrom))
    }
    assert imported == {'collections', 'contextlib', 'itertools', 'torch'}
    done = run_forked(FILE)
    assert done.returncode == 0, done.stderr
    rows = [line.split()[0] for line in done.stdout.splitlines()]
    assert len(rows) == 3 and set(rows) <= set(one_file.SPACE)
