# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A look at the supernet on held-out images, after which everything stands as it did."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext

import torch
from mmengine.dist import all_gather, all_reduce
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.datasets.replay import ReplaySampler
from nasiam_mm.engine.running import preserve_rng, unwrap
from nasiam_mm.models.choice import ChoiceCell
from nasiam_mm.search.gradient.gradients import statistics_stand_still

# Of views: the weight part's loader has 0, that of the held-out part 1.
_STREAM = 2
Weights = Mapping[str, Tensor]  # head -> (L, K)


class HeldOut:
    """The same batches of the held-out part, with the same views, each time they are asked for.

    What is computed on them is as the alpha step has it: training mode, BatchNorm by the
    statistics of the batch, the precision of the run. No weight, statistic, average, queue or
    random number moves. Every process takes its share and has to call; all get the same.

    Args:
        runner: A run.
        loader: Loader of its held-out part.
        batches: Number of batches, at most those there are.
    """

    def __init__(self, runner: Runner, loader: DataLoader, batches: int = 1) -> None:
        self.runner, self.model = runner, unwrap(runner.model)
        self.batches = min(batches, len(loader))
        # Never told of another pass: the first images of one and the same order.
        sampler = ReplaySampler(loader.dataset, seed=runner.seed, stream=_STREAM)
        self.loader = DataLoader(
            loader.dataset,
            batch_size=loader.batch_size,
            sampler=sampler,
            drop_last=True,
            collate_fn=loader.collate_fn,
            generator=torch.Generator().manual_seed(runner.seed),
        )

    def loss(
        self,
        weights: Weights,
        auxiliary: float | None = None,
        without: tuple[str, int] | None = None,
    ) -> float:
        """Return the mean loss of the supernet that mixes by these weights.

        ``auxiliary``: see ``Architecture.mixed_by``; ``without`` names a layer that is passed by,
        as ``('projector', 2)``, in momentum copies too.
        """
        return self._look(weights, auxiliary, without)[0]

    def loss_and_embeddings(self, weights: Weights) -> tuple[float, list[Tensor]]:
        """Return that loss, and z of each pass through ``model.embedding``, (N, D), gathered."""
        return self._look(weights, None, None)

    @torch.no_grad()
    def _look(self, weights: Weights, auxiliary: float | None, without: tuple | None) -> tuple:
        model, losses, embeddings = self.model, [], []

        def listen(module: nn.Module, inputs: tuple, output: Tensor | tuple) -> None:
            z = output[0] if isinstance(output, (tuple, list)) else output
            embeddings.append(torch.cat(all_gather(z.float().contiguous())))

        with ExitStack() as stack:
            for context in (
                preserve_rng(),
                _uncompiled(),
                statistics_stand_still(model),
                model.architecture.mixed_by(weights, auxiliary=auxiliary),
                _passed_by(model, *without) if without else nullcontext(),
                self.runner.optim_wrapper.optim_context(model),
            ):
                stack.enter_context(context)
            handle = model.embedding.register_forward_hook(listen)
            stack.callback(handle.remove)
            for _, batch in zip(range(self.batches), self.loader, strict=False):
                data = model.data_preprocessor(batch, True)
                found = model.loss(data['inputs'], data['data_samples'], update_state=False)
                losses.append(model.parse_losses(found)[0].float())
        mean = torch.stack(losses).mean()
        all_reduce(mean, 'mean')
        return mean.item(), embeddings


@contextmanager
def _passed_by(model: nn.Module, head: str, layer: int) -> Iterator[None]:
    """Let a layer give what it takes."""
    cells = [m for m in model.modules() if isinstance(m, ChoiceCell) and m.head == head]
    handles = [
        cell.layers[layer].register_forward_hook(lambda module, inputs, output: inputs[0])
        for cell in cells
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _uncompiled() -> AbstractContextManager:
    """Run plain code: compiled code would be compiled anew, and does not see new hooks."""
    # Where dynamo is not there nothing is compiled; to import it takes seconds.
    there = 'torch._dynamo' in sys.modules
    return torch.compiler.set_stance('force_eager') if there else nullcontext()


def mean_weights(
    architecture: Architecture, without: tuple[str, int, int] | None = None
) -> dict[str, Tensor]:
    """Weights of no draw in particular, head -> (L, K).

    ``without`` takes a candidate out, (head, layer, position): the others mix as the relaxation
    has it where that is no candidate.
    """
    weights = {}
    for head in architecture.choices:
        present = architecture.present(head).clone()
        if without is not None and without[0] == head:
            present[without[1], without[2]] = False
        weights[head] = architecture.relaxation.mean(architecture.alpha(head), present)
    return weights


def one_hot_weights(
    architecture: Architecture, decisions: Mapping[str, Decision]
) -> dict[str, Tensor]:
    """Weights of the head that was derived, head -> (L, K): 1 for what was taken, else 0.

    On the modules of the supernet, with whatever its mixing lets pass by them.
    """
    found = {}
    for head, choices in architecture.choices.items():
        rows = [
            [float(option in decisions[choice.name].chosen) for option in choice.options]
            for choice in choices
        ]
        found[head] = torch.tensor(rows).to(architecture.alpha(head))
    return found
