# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The ``data`` section of a config: what its folder says goes to every place that asks for it.

A recipe writes ``data = dict(root='data/cifar10')``, and ``'data.root'``, ``'data.mean'``,
``'data.std'``, ``'data.size'``, ``'data.half_size'`` or ``'data.num_classes'`` wherever one of
these is wanted. With ``data.skip_unreadable=True`` every ``Images`` leaves unreadable files out.
"""

from collections.abc import Iterator, Mapping

from mmengine.config import Config

from nasiam_mm.config_walk import walk
from nasiam_mm.datasets.source import Source, read_source

# Settings that may hold a fact, for taking back what another folder said.
_PLACES: dict[str, tuple[str, ...]] = {fact: (fact,) for fact in ('mean', 'std', 'num_classes')}
_PLACES |= {'data_root': ('root',), 'crop_size': ('size',), 'size': ('size', 'half_size')}
_FACTS = {fact for facts in _PLACES.values() for fact in facts}


def _asked(value: object) -> str | None:
    """Return the fact that a setting waits for, or None."""
    fact = value[5:] if isinstance(value, str) and value[:5] == 'data.' else None
    return fact if fact in _FACTS else None


def refuse_unresolved(value: object) -> None:
    """Raise a ValueError for a setting that still waits for :func:`resolve_data`."""
    if _asked(value):
        raise ValueError(
            f'{value!r} stands for a fact of the data folder, which a plain Runner does not read; '
            'use RUNNERS.build(cfg), or nasiam_mm.datasets.resolve_data(cfg) before'
        )


def resolve_data(cfg: Config | dict) -> list[str]:
    """Write what the folder of the ``data`` section says into a config; again changes nothing.

    Numbers of images that are more than the folder holds are lowered in proportion. Without
    labels there is no ``probe``, or where it has ``measures`` no vote in it. ``data.resolved``
    keeps what was asked for and written; for another ``data.root`` it is taken back first.

    Returns what had to be fitted to the folder, a line each. FileNotFoundError if the folder says
    nothing of itself, ValueError if that is not valid or lacks labels that are needed.
    """
    top = cfg._cfg_dict if isinstance(cfg, Config) else cfg
    section = top.get('data')
    if not isinstance(section, dict) or 'root' not in section:
        return []
    root = section['root']
    if not isinstance(root, str):
        raise ValueError(f'data.root must be the name of a folder, got {root!r:.60}')
    source = read_source(root)
    facts = dict(root=root, mean=list(source.mean), std=list(source.std), size=source.size)
    facts |= dict(half_size=source.size // 2, num_classes=len(source.classes))
    before = section.pop('resolved', {})
    used, is_other = set(before), any(before[fact] != facts[fact] for fact in before)
    for node in walk(top):
        for key, value in list(node.items()):
            places = _PLACES.get(key, ()) if is_other else ()
            said = (place for place in places if place in before and value == before[place])
            fact = next(said, None) or _asked(value)
            if fact is None:
                continue
            if fact == 'num_classes' and not source.classes:
                raise ValueError(f'{root}: has no labels, which {key} needs')
            node[key] = facts[fact]
            used.add(fact)
    if section.get('skip_unreadable'):
        for node in (node for node in walk(top) if node.get('type') == 'Images'):
            node['skip_unreadable'] = True
    section['resolved'] = {fact: value for fact, value in facts.items() if fact in used}
    notes = []
    if not source.classes and (probe := top.get('probe')):
        told = f'{root}: has no labels, so'
        if not (isinstance(probe, dict) and probe.get('measures')):
            top['probe'] = None
            notes.append(f'{told} the backbone is not probed while it trains')
        elif probe.get('labelled', True):
            probe['labelled'] = False
            notes.append(f'{told} the probe takes its measures alone, without a vote of neighbours')
    for node in reversed(list(walk(top))):  # parts before what draws from them
        notes += _fit(node, source)
    return list(dict.fromkeys(notes))


def _fit(node: dict, source: Source) -> Iterator[str]:
    """Lower the counts of a part, or the neighbours of a probe, that the folder cannot give."""
    if node.get('type') == 'SplitDataset':
        parts, held = dict(node['parts']), _length(node['dataset'], source)
        counts = {part: size for part, size in parts.items() if isinstance(size, int)}
        if held is not None and (wanted := sum(counts.values())) > held:
            fitted = {part: max(1, size * held // wanted) for part, size in counts.items()}
            node['parts'] = list((parts | fitted).items())
            yield f'{source.name} has {held} images: parts {parts} become {parts | fitted}'
    elif 'k' in node and 'bank' in node:
        held = _length(node['bank']['dataset'], source)
        if held is not None and isinstance(k := node['k'], int) and 2 * k > held:
            # The vote of most of the bank says what the bank is, not what is near.
            node['k'] = max(1, held // 10)
            yield f'the bank of the probe has {held} images: probe.k {k} becomes {node["k"]}'


def _length(dataset: Mapping, source: Source) -> int | None:
    """Return the number of images of a dataset's config; None for one that is not the folder's."""
    if dataset.get('type') == 'SplitDataset':
        held, size = (
            _length(dataset['dataset'], source),
            dict(dataset['parts']).get(dataset['part']),
        )
        if held is None or not isinstance(size, (int, float)):
            return None
        return size if isinstance(size, int) else int(held * size)
    if 'dataset' in dataset:
        return _length(dataset['dataset'], source)
    is_ours = dataset.get('type') == 'Images'
    if is_ours and dataset.get('skip_unreadable'):
        # Only images are counted by what takes seconds to import.
        from nasiam_mm.registry import DATASETS

        return len(DATASETS.build({**dataset, 'pipeline': []}))
    return source.parts.get(dataset.get('split', 'train')) if is_ours else None
