# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a supernet, with some path or without some candidate, is measured by on held-out images.

Higher is better, and every candidate is measured on the same batches. Never the loss of SimSiam or
BYOL: it is lowest where the representation has partly collapsed, so that it ranks heads backwards
(over ten random heads on CIFAR-10, the loss and the accuracy of nearest neighbours had a rank
correlation of +0.8 for SimSiam; for SimCLR, whose negatives forbid it, -0.8).

Shapes: N images, D features of the backbone, C of z.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from mmengine.dataset import DefaultSampler
from mmengine.dist import all_reduce, broadcast
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize
from torch.utils.data import DataLoader, Subset

from nasiam_mm.architecture.relaxation import check_temperature
from nasiam_mm.datasets.split import innermost, shared_images
from nasiam_mm.engine.running import unwrap
from nasiam_mm.evaluation.leave_one_out import leave_one_out_accuracy
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.part_registry import open_registry
from nasiam_mm.probes.extract import extract_features
from nasiam_mm.probes.section import read_probe
from nasiam_mm.search.batches import alpha_step_hook, held_out_batches
from nasiam_mm.search.tuning import normalise_by_batch

CRITERIA = open_registry('criterion', 'nasiam_mm.search')


class Criterion:
    """A measure of a model whose modes and mixing its caller has set.

    Args:
        batches: Batches of the held-out part to measure on.
    """

    def __init__(self, batches: int = 8) -> None:
        if type(batches) is not int or batches < 1:
            what = f'{type(self).__name__}.batches must be a positive integer, got {batches!r}'
            raise ValueError(what)
        self.batches = batches

    def told(self) -> dict[str, Any]:
        """Settings for the provenance of a genotype."""
        return {'batches': self.batches}

    def check(self, runner: Runner) -> None:
        """Raise ValueError at the start of a run that it cannot measure."""
        alpha_step_hook(runner)

    def prepare(self, runner: Runner, model: nn.Module, spare: int = 0) -> None:
        """Take the images, and what of them depends on no path, with the weights as they are.

        ``spare`` is a number of further batches, for :meth:`put_through`. The caller sets the
        modes of the model afterwards.
        """
        raise NotImplementedError

    def value(self, model: nn.Module) -> float:
        """Measure the model; the mean over the processes, the same in each."""
        raise NotImplementedError

    def put_through(self, model: nn.Module) -> None:
        """Run the spare batches through the heads, whose BatchNorm then sees them."""
        raise NotImplementedError


@CRITERIA.register_module()
class HeldOutLoss(Criterion):
    """Minus the framework's loss, in full precision; for those that contrast, as SimCLR and SwAV.

    Refused where a head predicts z and nothing contrasts (SimSiam, BYOL), see the top of this file.
    It compares heads at one temperature alone.
    """

    def check(self, runner: Runner) -> None:
        """Raise ValueError where the loss is least for what has collapsed."""
        super().check(runner)
        if getattr(unwrap(runner.model), 'is_least_in_collapse', False):
            what = f'the loss of {type(unwrap(runner.model)).__name__} is lowest in collapse'
            raise ValueError(f"{what}; select by criterion=dict(type='HeldOutContrast')")

    def prepare(self, runner: Runner, model: nn.Module, spare: int = 0) -> None:
        """Draw the batches."""
        drawn = held_out_batches(runner, self.batches + spare)
        self._measured, self._spare = drawn[: self.batches], drawn[self.batches :]

    def value(self, model: nn.Module) -> float:
        """Return minus the mean loss."""
        return -_mean_over_processes(torch.stack([*_losses(model, self._measured)]))

    def put_through(self, model: nn.Module) -> None:
        """Compute the loss of the spare batches."""
        for _ in _losses(model, self._spare):
            pass


@torch.no_grad()
def _losses(model: nn.Module, batches: list) -> Iterator[Tensor]:
    for batch in batches:
        data = model.data_preprocessor(batch, True)
        losses = model.loss(data['inputs'], data['data_samples'], update_state=False)
        yield model.parse_losses(losses)[0]


@CRITERIA.register_module()
class HeldOutContrast(Criterion):
    """Minus InfoNCE between two views at a fixed temperature: does z tell images apart?

    Comparable over heads, and independent of the framework's loss and temperature. Queries are z
    of one view or, where the framework has a predictor, its prediction; keys are z of the other
    view; negatives the other images of the batch, of one process. Both directions count.

    Args:
        batches: Batches of the held-out part to measure on.
        temperature: Of the contrast.
    """

    def __init__(self, batches: int = 8, temperature: float = 0.2) -> None:
        super().__init__(batches)
        self.temperature = check_temperature(self, temperature)

    def told(self) -> dict[str, Any]:
        """Settings for the provenance of a genotype."""
        return {**super().told(), 'temperature': self.temperature}

    @torch.no_grad()
    def prepare(self, runner: Runner, model: nn.Module, spare: int = 0) -> None:
        """Compute the backbone's features of two views of each image."""
        normalise_by_batch(model)
        drawn = held_out_batches(runner, self.batches + spare)
        views = (model.data_preprocessor(batch, True)['inputs'][:2] for batch in drawn)
        features = [[_pooled(model.backbone(view)) for view in pair] for pair in views]
        self._measured, self._spare = features[: self.batches], features[self.batches :]

    @torch.no_grad()
    def value(self, model: nn.Module) -> float:
        """Return minus the mean InfoNCE."""
        found = [self._contrast(model, *pair) for pair in self._measured]
        return -_mean_over_processes(torch.stack(found))

    @torch.no_grad()
    def put_through(self, model: nn.Module) -> None:
        """Compute z, and its prediction, of the spare batches."""
        for pair in self._spare:
            for features in pair:
                embed(model, features)

    def _contrast(self, model: nn.Module, *pair: Tensor) -> Tensor:
        (query1, key1), (query2, key2) = (embed(model, features) for features in pair)
        own = torch.arange(len(key1), device=key1.device)
        sides = [(query1, key2), (query2, key1)]
        return sum(cross_entropy(_cosines(q, k) / self.temperature, own) for q, k in sides) / 2


def _cosines(query: Tensor, key: Tensor) -> Tensor:
    return normalize(query, dim=1) @ normalize(key, dim=1).T


@CRITERIA.register_module()
class EmbeddingNeighbours(Criterion):
    """Accuracy of nearest neighbours in z among labelled held-out images, each left out in turn.

    The images are some of ``probe.query`` of the config, one plain view each; they have to be a
    part of the training split that the weights do not see. Where the framework has a predictor,
    an image is looked up by its prediction.

    Args:
        images: Number of images, drawn once; fewer if there are no more.
        k: Neighbours.
        temperature: Of their vote.
    """

    needed: ClassVar = 'EmbeddingNeighbours needs labelled images that are held out'

    def __init__(self, images: int = 2000, k: int = 20, temperature: float = 0.1) -> None:
        super().__init__()
        if not all(type(n) is int and n >= 1 for n in (images, k)) or k >= images:
            need = 'EmbeddingNeighbours needs positive integers k < images'
            raise ValueError(f'{need}, got {k!r} and {images!r}')
        self.images, self.k = images, k
        self.temperature = check_temperature(self, temperature)

    def told(self) -> dict[str, Any]:
        """Settings for the provenance of a genotype."""
        return {'images': self.images, 'k': self.k, 'temperature': self.temperature}

    def check(self, runner: Runner) -> None:
        """Raise ValueError unless there are labelled images apart from the weights'."""
        probe = read_probe(runner.cfg)
        if probe is None:
            raise ValueError(f'{self.needed}; give the config a probe section')
        loader: Any = probe.build('val', runner.seed).loader('val')
        train = runner.train_dataloader.dataset
        splits = {getattr(innermost(part), 'split', None) for part in (loader.dataset, train)}
        if len(splits) > 1 or (shared := len(shared_images(loader.dataset, train))):
            found = f'is of another split, {splits}' if len(splits) > 1 else f'shares {shared}'
            what = f'probe.query {found} with the weight part'
            raise ValueError(f'{self.needed}; {what}')
        if self.k >= (count := min(self.images, len(loader.dataset))):
            raise ValueError(f'EmbeddingNeighbours.k is {self.k}, of {count} images')
        generator = torch.Generator().manual_seed(runner.seed)
        rows = torch.randperm(len(loader.dataset), generator=generator)[: self.images]
        subset = Subset(loader.dataset, sorted(rows.tolist()))
        self._loader = DataLoader(
            subset,
            loader.batch_size,
            sampler=DefaultSampler(subset, shuffle=False),
            num_workers=loader.num_workers,
            collate_fn=loader.collate_fn,
            generator=generator,
        )

    def prepare(self, runner: Runner, model: nn.Module, spare: int = 0) -> None:
        """Compute the backbone's features; every process has them all."""
        self._found = extract_features(model, self._loader)
        self._spare = self._found.features.split(self._loader.batch_size)[:spare]

    @torch.no_grad()
    def value(self, model: nn.Module) -> float:
        """Return the accuracy in percent."""
        query, key = embed(model, self._found.features)
        found = leave_one_out_accuracy(query, key, self._found.labels, self.k, self.temperature)
        return _mean_over_processes(key.new_tensor([found], dtype=torch.float64))

    @torch.no_grad()
    def put_through(self, model: nn.Module) -> None:
        """Compute z, and its prediction, of some batches of the images."""
        for features in self._spare:
            embed(model, features)


def embed(model: nn.Module, features: Tensor) -> tuple[Tensor, Tensor]:
    """Map pooled features, (N, D), to z, (N, C), and before it what looks it up, (N, C).

    That is the prediction of the other view's z, where the framework has a predictor, or z.
    """
    takes_vectors = isinstance(model.embedding, HeadMLP) and model.embedding.pool is None
    z = _first(model.embedding((features if takes_vectors else features[:, :, None, None],)))
    return (z if model.prediction is None else _first(model.prediction((z,)))), z


def _first(output: Any) -> Tensor:
    return output[0] if isinstance(output, (tuple, list)) else output


def _pooled(maps: Any) -> Tensor:
    """Average the last of the maps, (N, D, H, W) or (N, D), over its positions: (N, D)."""
    last = maps[-1] if isinstance(maps, (tuple, list)) else maps
    return last.mean((2, 3)) if last.ndim == 4 else last


def _mean_over_processes(values: Tensor) -> float:
    mean = values.double().mean()
    all_reduce(mean, op='mean')
    # However a mean is rounded on its way, a decision is the same everywhere.
    broadcast(mean, src=0)
    return mean.item()
