# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The ``probe`` section of a config: what a backbone is measured by, and when."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from mmengine.config import Config
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Dataset, RandomSampler

from nasiam_mm.config_walk import type_name
from nasiam_mm.datasets.split import innermost, shared_images
from nasiam_mm.probes.measures import build_measures

_TESTED_ON = {'ImageNet': 'val'}  # whose published test split has no labels


@dataclass(frozen=True)
class Probe:
    """A labelled bank of M images, one view each, images to classify by it, and how."""

    bank: Mapping | DataLoader  # a mapping is the config of one
    query: Mapping | DataLoader  # for validation, so that no epoch is picked by test images (C10)
    test: Mapping | DataLoader | None = None  # by default query's, on its test split
    k: int = 200  # neighbours, at most M
    temperature: float = 0.1  # of the vote
    chunk_size: int = 1024  # queries compared with the bank at a time, at most
    bank_block: int = 16384  # rows of the bank that they are compared with at a time, at most
    interval: int = 1  # epochs between two measurements in training; the last is always measured
    at_start: bool = True  # measure before the first iteration too; a resumed run does not again
    split: str = 'val'  # or 'test': what is classified in training
    measures: Sequence = ()  # configs of what is measured beside the vote, see measures.py
    final: Mapping | DataLoader | None = None  # classified once, after the last epoch
    labelled: bool = True  # False: there is no vote, only measures that need no labels

    def __post_init__(self) -> None:
        if self.split not in ('val', 'test'):
            raise ValueError(f"probe.split must be 'val' or 'test', got {self.split!r}")
        for name in ('k', 'interval', 'chunk_size', 'bank_block'):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f'probe.{name} must be a whole number from 1, got {value!r}')
        measures = build_measures(self.measures)
        if not isinstance(self.labelled, bool):
            raise ValueError(f'probe.labelled must be True or False, got {self.labelled!r}')
        if not self.labelled:
            told = [type(measure).__name__ for measure in measures if measure.needs_labels]
            if told or self.final is not None:
                what = f'the measure {told[0]} needs' if told else 'probe.final needs'
                raise ValueError(f'{what} labels, which the images do not have; take it out')
            if not measures:
                raise ValueError('probe.labelled=False leaves nothing to measure; set measures')

    def loader(self, part: str) -> Mapping | DataLoader:
        """Return the loader, or its config, of a part: ``'train'``, ``'val'`` or ``'test'``."""
        if part != 'test' or self.test is not None:
            return {'train': self.bank, 'val': self.query, 'test': self.test}[part]
        dataset = _innermost_config(self.query)
        kind = str(type_name(dataset))
        if 'split' not in dataset:
            raise ValueError(f'{kind} of probe.query names no split; give probe.test=dict(...)')
        return {**self.query, 'dataset': {**dataset, 'split': _TESTED_ON.get(kind, 'test')}}

    def build(self, split: str, seed: int | None = None) -> 'Probe':
        """Build the loaders of the bank and of a split, and check them."""
        bank = Runner.build_dataloader(self.bank, seed=seed)
        query = Runner.build_dataloader(self.loader(split), seed=seed)
        if self.k > (size := len(bank.dataset)):
            raise ValueError(f'probe.k = {self.k} exceeds the {size} images of probe.bank; lower k')
        if split == 'val' and getattr(innermost(query.dataset), 'split', None) == 'test':
            raise ValueError(
                "probe.query reads the test split; take a part of training, or probe.split='test'"
            )
        return dataclasses.replace(self, bank=bank, **{'query' if split == 'val' else split: query})

    def build_final(self, seed: int | None = None) -> 'Probe':
        """Build the loader of ``final``, if any, and check that its images are none of the others.

        Raises:
            ValueError: If they are, or are those of the test split, or are walked out of order.
        """
        if self.final is None:
            return self
        final = Runner.build_dataloader(self.final, seed=seed)
        for name, loader in (('probe.bank', self.bank), ('probe.query', self.query)):
            part = Runner.build_dataloader(loader, seed=seed).dataset
            check_disjoint(part, final.dataset, (name, 'probe.final'))
        if getattr(innermost(final.dataset), 'split', None) == 'test' and self.split != 'test':
            mend = "take a part of training, or probe.split='test'"
            raise ValueError(f'probe.final reads the test split; {mend}')
        sampler = final.sampler
        if getattr(sampler, 'shuffle', False) or isinstance(sampler, RandomSampler):
            mend = 'set probe.final.sampler.shuffle=False'
            raise ValueError(f'probe.final is told image by image, in order; {mend}')
        return dataclasses.replace(self, final=final)

    def recut(self, val_fraction: float) -> 'Probe':
        """Cut the whole training split into bank and query by the fraction of the query."""
        if not 0 < val_fraction < 1:
            raise ValueError(f'the validation part must be between 0 and 1, got {val_fraction}')
        parts = dict(train=1 - val_fraction, val=val_fraction)
        split = dict(type='SplitDataset', dataset=_innermost_config(self.bank), parts=parts, seed=0)
        bank = {**self.bank, 'dataset': dict(split, part='train')}
        query = {**self.query, 'dataset': dict(split, part='val')}
        return dataclasses.replace(self, bank=bank, query=query)


def read_probe(cfg: Config | Mapping) -> Probe | None:
    """Read the section of a config, or None where it has none; ValueError if it is impossible."""
    if not (section := cfg.get('probe')):
        return None
    known = [field.name for field in dataclasses.fields(Probe)]
    if unknown := [key for key in section if key not in known]:
        near = get_close_matches(unknown[0], known, n=1)
        hint = f'did you mean probe.{near[0]}?' if near else f'there are {", ".join(known)}'
        raise ValueError(f'probe.{unknown[0]} is no setting; {hint}')
    if missing := [key for key in ('bank', 'query') if not section.get(key)]:
        raise ValueError(f'the probe section lacks {" and ".join(missing)}; give each a loader')
    return Probe(**section)


def check_disjoint(
    first: Dataset, second: Dataset, names: tuple[str, str] = ('probe.bank', 'probe.query')
) -> None:
    """Refuse parts that share an image, or of which nothing tells which images they hold."""
    one, other = names
    splits = {getattr(innermost(part), 'split', None) for part in (first, second)}
    if hasattr(first, 'indices') and hasattr(second, 'indices'):
        if shared := len(shared_images(first, second)):
            roles = 'both labelled and for validation'
            both = roles if other == 'probe.query' else f'both in {one} and in {other}'
            raise ValueError(
                f"{shared} images are {both}; give {one} and {other} equal 'parts' and 'seed' "
                "and another 'part'"
            )
    elif len(splits) == 1:
        raise ValueError(f'{one} and {other} need a SplitDataset each, or two splits of a data set')


def _innermost_config(loader: Mapping) -> Mapping:
    while 'dataset' in loader:
        loader = loader['dataset']
    return loader
