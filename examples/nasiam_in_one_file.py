# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The search of a SimCLR head, NASiam's method, in one file of plain torch.

Every layer of the projector mixes four operations by the softmax of its row of alpha (NASiam,
eq. 4). Before each step of the weights on one half of the images alpha steps on the other half
(section 3.1), at the weights as they are (DARTS, eq. 6 with xi = 0). At its end each layer keeps
the operation of the highest alpha. ``tests/test_examples`` holds loss, gradient and step against
the package. What the package has besides: docs/search.md.

    python examples/nasiam_in_one_file.py
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SPACE = ('linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity')


def operation(name: str, c_in: int, c_out: int) -> nn.Sequential:
    """Build one of the space: (N, C_in) to (N, C_out)."""
    if name == 'linear_bn_relu':
        return nn.Sequential(nn.Linear(c_in, c_out, bias=False), nn.BatchNorm1d(c_out), nn.ReLU())
    if name == 'identity':  # a linear map where the width changes
        return nn.Sequential(*[nn.Linear(c_in, c_out)] * (c_in != c_out))
    kind = nn.MaxPool1d if name.startswith('max') else nn.AvgPool1d
    narrow = [nn.Linear(c_in, c_out, bias=False)] * (c_in != c_out)
    # Over three neighbouring features: torch takes the C of (N, C) for the axis to slide along.
    return nn.Sequential(*narrow, kind(3, stride=1, padding=1), nn.BatchNorm1d(c_out))


class Head(nn.Module):
    """A chain of layers of mixed operations, and a linear output layer."""

    def __init__(self, c_in: int, hidden: int, c_out: int, depth: int) -> None:
        super().__init__()
        widths = [c_in, *[hidden] * depth]
        self.layers = nn.ModuleList(
            nn.ModuleList(operation(name, *pair) for name in SPACE) for pair in pairwise(widths)
        )
        self.output = nn.Linear(hidden, c_out, bias=False)

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Map features, (N, C_in), to z, (N, C_out), by alpha, (L, K)."""
        for operations, weights in zip(self.layers, alpha.softmax(dim=1), strict=True):
            x = sum(w * op(x) for w, op in zip(weights, operations, strict=True))
        return self.output(x)


def nt_xent(z: Tensor, temperature: float) -> Tensor:
    """Return the loss of SimCLR, eq. 1, of (2N, C): rows n and n + N are views of one image."""
    z = F.normalize(z, dim=1)
    similarity = z @ z.T / temperature
    similarity.fill_diagonal_(float('-inf'))  # no image is its own negative
    partner = torch.arange(len(z), device=z.device).roll(len(z) // 2)
    return F.cross_entropy(similarity, partner)


def views(images: Tensor) -> Tensor:
    """Make two views of each image, (N, 3, H, W): shifted, flipped, brighter; (2N, 3, H, W)."""
    made = []
    for image in torch.cat([images, images]):
        shift = [int(n) for n in torch.randint(-3, 4, (2,))]
        image = image.roll(shift, dims=(1, 2)) * (0.6 + 0.8 * torch.rand(1))
        made.append(image.flip(2) if torch.rand(1) < 0.5 else image)
    return torch.stack(made)


@contextmanager
def statistics_stand_still(model: nn.Module) -> Iterator[None]:
    """Let BatchNorm use a batch and remember nothing of it."""
    buffers = [(buffer, buffer.clone()) for buffer in model.buffers()]
    yield
    for buffer, before in buffers:
        buffer.copy_(before)


def alpha_gradient(
    backbone: nn.Module, head: Head, alpha: Tensor, batch: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return the loss of held-out views, (2N, 3, H, W), and its gradient to alpha, (L, K)."""
    with statistics_stand_still(backbone), statistics_stand_still(head):
        with torch.no_grad():  # nothing in the backbone depends on alpha
            features = backbone(batch)
        loss = nt_xent(head(features, alpha), temperature)
        (gradient,) = torch.autograd.grad(loss, alpha)  # leaves the .grad of the weights alone
    return loss.detach(), gradient


def alpha_step(
    optimizer: torch.optim.Optimizer,
    backbone: nn.Module,
    head: Head,
    alpha: Tensor,
    batch: Tensor,
    temperature: float,
) -> Tensor:
    """Step alpha on held-out views, and nothing else; return their loss."""
    loss, alpha.grad = alpha_gradient(backbone, head, alpha, batch, temperature)
    optimizer.step()
    alpha.grad = None
    return loss


def search(
    images: Tensor, backbone: nn.Module, head: Head, epochs: int, batch_size: int = 32
) -> tuple[list[str], Tensor]:
    """Search on images, (N, 3, H, W); return the operation of each layer, and alpha."""
    alpha = torch.zeros(len(head.layers), len(SPACE), requires_grad=True)
    weights = [*backbone.parameters(), *head.parameters()]
    of_weights = torch.optim.SGD(weights, lr=0.05, momentum=0.9, weight_decay=5e-4)
    of_alpha = torch.optim.Adam([alpha], lr=1e-2, weight_decay=1e-3)
    order = torch.randperm(len(images))
    train, held_out = images[order[::2]], images[order[1::2]]  # no image is in both
    for _ in range(epochs):
        rows = [torch.randperm(len(held_out)).split(batch_size) for _ in range(2)]
        for mine, theirs in zip(*rows, strict=True):
            if len(mine) < batch_size:
                break
            alpha_step(of_alpha, backbone, head, alpha, views(held_out[theirs]), 0.2)
            of_weights.zero_grad()
            loss = nt_xent(head(backbone(views(train[mine])), alpha.detach()), 0.2)
            loss.backward()
            of_weights.step()
    return [SPACE[k] for k in alpha.argmax(dim=1)], alpha.detach()


def main() -> None:
    """Search on noise of eight colours, in seconds."""
    torch.manual_seed(0)
    images = torch.rand(256, 3, 16, 16) + 2 * torch.rand(8, 3, 1, 1).repeat(32, 1, 1, 1)
    block = [nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    operations, alpha = search(images, nn.Sequential(*block, nn.Flatten()), Head(16, 32, 16, 3), 4)
    print('\n'.join(f'{op}  {row.softmax(0).tolist()}' for op, row in zip(operations, alpha)))  # noqa: B905


if __name__ == '__main__':
    main()
