# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The one owner of alpha, of L layers of a head and K options of its space."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.dist import get_rank
from torch import Tensor, nn

from nasiam_mm.architecture.choice import Choices
from nasiam_mm.architecture.relaxation import RELAXATIONS, Relaxation
from nasiam_mm.part_registry import build_part

# Positions of the options that take part, for each layer.
Running = tuple[tuple[int, ...], ...]


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
        sampled_in: Steps, of ``'alpha'`` and ``'weights'``, in which the candidates that the
            relaxation did not draw are not run.

    ValueError for ``sampled_in`` with a relaxation that draws none.

    Attributes:
        auxiliary: Strength of an auxiliary branch beside each layer's candidates.
        identity_dropout: Share of an identity's output that is dropped, from 0 to 1.
    """

    def __init__(
        self, choices: Choices, relaxation: dict | None = None, sampled_in: Collection[str] = ()
    ) -> None:
        super().__init__()
        self.choices = {head: tuple(rows) for head, rows in choices.items()}
        relaxation = dict(type='Softmax') if relaxation is None else relaxation
        self.relaxation: Relaxation = build_part(RELAXATIONS, relaxation, 'model.relaxation')
        if sampled_in and not self.relaxation.samples_paths:
            name = type(self.relaxation).__name__
            mend = 'take one that draws candidates, such as GumbelStraightThrough, or FullMixing'
            raise ValueError(f'model.mixing runs what was drawn, but {name} draws nothing; {mend}')
        self.sampled_in = frozenset(sampled_in)
        self._given: Mapping[str, Tensor] | None = None
        # Functions of the step, set by schedules: nothing to save.
        self.auxiliary, self.identity_dropout = 1.0, 0.0
        self._running: dict[str, Running] = {}
        for head, rows in self.choices.items():
            present = torch.tensor([row.present for row in rows])
            self.register_buffer(f'alpha_{head}', torch.zeros(present.shape))
            self.register_buffer(f'present_{head}', present)
            if self.relaxation.is_stochastic:
                self.register_buffer(f'noise_{head}', torch.zeros(present.shape), persistent=False)
        self._read_present()

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
        if self._given is not None and drawn:
            return self._given[head]
        alpha, present = self.alpha(head), self.present(head)
        if not drawn:
            return self.relaxation.mean(alpha, present)
        noise = self.get_buffer(f'noise_{head}') if self.relaxation.is_stochastic else None
        return self.relaxation.weights(alpha, present, noise)

    def running(self, head: str) -> Running:
        """Positions of the candidates that a forward pass has to run, for each layer."""
        return self._running[head]

    @contextmanager
    def mixed_by(
        self,
        weights: Mapping[str, Tensor],
        running: Mapping[str, Running] | None = None,
        auxiliary: float | None = None,
    ) -> Iterator[None]:
        """Mix by these weights, (L, K) of each head, whatever was drawn, and drop nothing out.

        What has one above 0 is run, or what ``running`` names; ``auxiliary`` is the strength of
        that branch, None for the step's. Draw before, not within. Weights ``drawn=False`` go on
        telling of alpha.
        """
        kept = self._given, self._running, self.auxiliary, self.identity_dropout
        self._given, self.identity_dropout = dict(weights), 0.0
        positive = {head: _positions(rows > 0) for head, rows in weights.items()}
        self._running = positive if running is None else dict(running)
        if auxiliary is not None:
            self.auxiliary = auxiliary
        try:
            yield
        finally:
            self._given, self._running, self.auxiliary, self.identity_dropout = kept

    def drop(self, head: str, layer: int, positions: Collection[int]) -> None:
        """Take options of a layer out of the search for good; ValueError if none would be left."""
        left = set(self._present[head][layer]).difference(positions)
        if not left:
            raise ValueError(f'{head}.{layer}.op would be left without a candidate')
        self.present(head)[layer, sorted(positions)] = False
        self._read_present()

    def dropped(self) -> dict[str, list[str]]:
        """Options that were candidates and were taken out: name of the choice -> them."""
        found = {}
        for head, choices in self.choices.items():
            for choice, left in zip(choices, self._present[head], strict=True):
                began = [k for k, here in enumerate(choice.present) if here]
                if gone := [choice.options[k] for k in began if k not in left]:
                    found[choice.name] = gone
        return found

    @torch.no_grad()
    def sample(self, seed: int, step: int, role: str) -> None:
        """Draw the noise of an optimizer step, the same in every process.

        ``role`` is ``'alpha'`` or ``'weights'``: the two steps of a run's ``seed`` draw apart.
        Where only what was drawn is run, alpha is read back: a GPU is waited for, once a step.
        """
        self._key = f'{seed}/{step}/{role}'
        self._generators: dict[torch.device, torch.Generator] = {}
        self.relaxation.role = role
        for head in self.choices if self.relaxation.is_stochastic else ():
            noise = torch.empty(self.alpha(head).shape)
            self.relaxation.sample(noise, _generator(f'{self._key}/{head}'))
            self.get_buffer(f'noise_{head}').copy_(noise)
            self._running[head] = self._present[head]
            if role in self.sampled_in:
                mask = self.relaxation.paths(
                    self.alpha(head).cpu(), self.present(head).cpu(), noise
                )
                self._running[head] = _positions(mask)

    def paths(self, head: str) -> Tensor:
        """Candidates that take part in the step, (L, K), bool, whatever is run."""
        noise = self.get_buffer(f'noise_{head}') if self.relaxation.is_stochastic else None
        return self.relaxation.paths(self.alpha(head), self.present(head), noise)

    def drop_out(self, x: Tensor) -> Tensor:
        """Drop a share of an identity's output, (N, C), and scale the rest up.

        Drawn from the step and the process, so that an alpha step leaves the run's own random
        numbers alone and a resumed run drops what it would have.
        """
        if not self.identity_dropout:
            return x
        generator = self._generators.setdefault(
            x.device, _generator(f'{self._key}/{get_rank()}/{x.device}', x.device)
        )
        kept = 1.0 - self.identity_dropout
        return x * torch.empty_like(x).bernoulli_(kept, generator=generator) / kept

    def _read_present(self) -> None:
        # On the host, so that no forward pass waits for a GPU.
        self._present = {head: _positions(self.present(head)) for head in self.choices}
        self._running = dict(self._present)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._read_present()


def _positions(mask: Tensor) -> Running:
    return tuple(tuple(n for n, here in enumerate(row) if here) for row in mask.tolist())


def _generator(key: str, device: torch.device | str = 'cpu') -> torch.Generator:
    digest = hashlib.sha256(key.encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], 'big') >> 1)
