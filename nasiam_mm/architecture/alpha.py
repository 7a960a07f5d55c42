# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The one owner of alpha, of L layers of a head and K options of its space."""

import hashlib

import torch
from torch import Tensor, nn

from nasiam_mm.architecture.choice import Choices
from nasiam_mm.architecture.relaxation import RELAXATIONS, Relaxation


class Architecture(nn.Module):
    """What a search has to decide and how far it is.

    Cells, and their copies in momentum encoders, read the mixing weights of the step from here by
    the name of their head; none owns or copies alpha.

    ``alpha_<head>`` (L, K) begins at zero (uniform mixing). It is a buffer, not a parameter: no
    optimizer of the weights takes it and no average of a whole model moves it. It asks for a
    gradient in the alpha step alone. ``present_<head>`` (L, K) says which options are candidates.
    Both go with the checkpoint.

    Args:
        choices: Head -> the choices of its layers, all of the same options.
        relaxation: Config of a registered relaxation, or None for the softmax.
    """

    def __init__(self, choices: Choices, relaxation: dict | None = None) -> None:
        super().__init__()
        self.choices = {head: tuple(rows) for head, rows in choices.items()}
        self.relaxation: Relaxation = RELAXATIONS.build(relaxation or dict(type='Softmax'))
        for head, rows in self.choices.items():
            present = torch.tensor([row.present for row in rows])
            self.register_buffer(f'alpha_{head}', torch.zeros(present.shape))
            self.register_buffer(f'present_{head}', present)
            if self.relaxation.is_stochastic:
                # A function of the step: nothing to save.
                self.register_buffer(f'noise_{head}', torch.zeros(present.shape), persistent=False)

    def alpha(self, head: str) -> Tensor:
        """Architecture parameters of a head, (L, K)."""
        return self.get_buffer(f'alpha_{head}')

    def alphas(self) -> list[Tensor]:
        """Architecture parameters of all heads, in order."""
        return [self.alpha(head) for head in self.choices]

    def present(self, head: str) -> Tensor:
        """Which options of a head are candidates, (L, K), bool."""
        return self.get_buffer(f'present_{head}')

    def weights(self, head: str, drawn: bool = True) -> Tensor:
        """Mixing weights of a head, (L, K), with the noise of the step or, for a record, none.

        Relaxed anew at every read: gradients of two views then add after the relaxation's
        backward pass, as those of two networks would.
        """
        noise = self.get_buffer(f'noise_{head}') if self.relaxation.is_stochastic else None
        if noise is not None and not drawn:
            noise = torch.zeros_like(noise)
        return self.relaxation.weights(self.alpha(head), self.present(head), noise)

    @torch.no_grad()
    def sample(self, seed: int, step: int, role: str) -> None:
        """Draw the noise of an optimizer step, the same in every process.

        ``role`` is ``'alpha'`` or ``'weights'``: the two steps of a run's ``seed`` draw apart.
        """
        for head in self.choices if self.relaxation.is_stochastic else ():
            key = hashlib.sha256(f'{seed}/{step}/{role}/{head}'.encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(key[:8], 'big') >> 1)
            noise = torch.empty(self.alpha(head).shape)
            self.relaxation.sample(noise, generator)
            self.get_buffer(f'noise_{head}').copy_(noise)
