# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""k-nearest-neighbour accuracy of the backbone while it trains."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset

from nasiam_mm.engine.rng import preserve_rng
from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.probes.features import extract_features
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class KNNHook(Hook):
    """Classify held-out images by their nearest neighbours in a labelled bank.

    Reads the pooled backbone features (:func:`extract_features`), votes
    (:func:`knn_accuracy`), logs a line and records the scalars
    ``knn/{split_name}_top1`` and, for more than five classes,
    ``knn/{split_name}_top5``, in percent. Nothing of the run changes: no
    weight, buffer, module mode or random number.

    The query images are a validation part, so that whoever picks an epoch by
    these scalars has not seen the test set. Evaluating on the test set needs
    ``split_name='test'``, and the scalars then carry that name.

    Args:
        bank_dataloader: Config of the loader of labelled images, whose number
            of images is M. One view per image, ``default_collate``.
        query_dataloader: Config of the loader of the images to classify.
        k: Number of neighbours, at most M.
        temperature: Temperature of the vote.
        interval: Epochs between evaluations; the last epoch is always
            evaluated.
        at_start: Whether to evaluate before the first iteration too. A
            resumed run does not repeat it.
        split_name: ``'val'`` or ``'test'``: what the query images are.

    Raises:
        ValueError: If an argument is impossible; before training, if k exceeds
            M or ``query_dataloader`` reads a test split that is not called so.
    """

    def __init__(
        self,
        bank_dataloader: dict,
        query_dataloader: dict,
        k: int = 200,
        temperature: float = 0.1,
        interval: int = 1,
        at_start: bool = True,
        split_name: str = 'val',
    ) -> None:
        if split_name not in ('val', 'test'):
            raise ValueError(f"KNNHook.split_name must be 'val' or 'test', got {split_name!r}")
        if k < 1 or interval < 1:
            raise ValueError(
                f'KNNHook.k and .interval must be at least 1, got k={k}, interval={interval}'
            )
        self.bank_dataloader = bank_dataloader
        self.query_dataloader = query_dataloader
        self.k = k
        self.temperature = temperature
        self.interval = interval
        self.at_start = at_start
        self.split_name = split_name

    def before_train(self, runner: Runner) -> None:
        """Build both loaders, check them, and evaluate the untrained backbone."""
        with preserve_rng():
            self.bank_dataloader = self._build(runner, self.bank_dataloader)
            self.query_dataloader = self._build(runner, self.query_dataloader)
        bank_size = len(self.bank_dataloader.dataset)
        if self.k > bank_size:
            raise ValueError(
                f'KNNHook.k = {self.k} exceeds the {bank_size} images of bank_dataloader; '
                f'set k to at most {bank_size}'
            )
        if self.split_name != 'test' and _reads_test_split(self.query_dataloader.dataset):
            raise ValueError(
                "KNNHook.query_dataloader reads the test split under split_name='val'; use a "
                "validation part of the training set, or say split_name='test'"
            )
        if self.at_start and runner.iter == 0:
            self._evaluate(runner, epochs_done=0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Evaluate every ``interval`` epochs and after the last one."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._evaluate(runner, epochs_done=runner.epoch + 1)

    @staticmethod
    def _build(runner: Runner, dataloader: dict | DataLoader) -> DataLoader:
        return runner.build_dataloader(dataloader, seed=runner.seed)

    def _evaluate(self, runner: Runner, epochs_done: int) -> None:
        device = next(runner.model.parameters()).device
        bank, bank_labels = extract_features(runner.model, self.bank_dataloader)
        query, query_labels = extract_features(runner.model, self.query_dataloader)
        accuracy = knn_accuracy(
            query.to(device),
            query_labels,
            bank.to(device),
            bank_labels,
            num_classes=1 + int(max(bank_labels.max(), query_labels.max())),
            k=self.k,
            temperature=self.temperature,
        )
        scalars = {f'knn/{self.split_name}_{name}': value for name, value in accuracy.items()}
        for name, value in scalars.items():
            runner.message_hub.update_scalar(name, value)
        runner.visualizer.add_scalars({**scalars, 'epoch': epochs_done}, step=runner.iter)
        figures = '  '.join(f'{name}: {value:.2f}' for name, value in scalars.items())
        runner.logger.info(
            f'kNN [{epochs_done}/{runner.max_epochs}]  {figures}  '
            f'(k {self.k}, T {self.temperature}, bank {len(bank)}, query {len(query)})'
        )


def _reads_test_split(dataset: Dataset) -> bool:
    """Whether the dataset inside any wrappers says that its split is the test split."""
    while hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return getattr(dataset, 'split', None) == 'test'
