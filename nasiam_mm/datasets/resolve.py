# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The ``data`` section of a config: what its folder says goes to every place that asks for it.

A recipe writes ``data = dict(root='data/cifar10')``, and ``'data.root'``, ``'data.mean'``,
``'data.std'``, ``'data.size'`` or ``'data.num_classes'`` wherever one of these is wanted.
"""

from collections.abc import Mapping

from mmengine.config import Config

from nasiam_mm.config_walk import walk
from nasiam_mm.datasets.source import Source, read_source

__all__ = ['refuse_unresolved', 'resolve_data']

# Settings that may hold a fact, for taking back what another folder said.
_PLACES = {
    'data_root': 'root',
    'mean': 'mean',
    'std': 'std',
    'size': 'size',
    'crop_size': 'size',
    'num_classes': 'num_classes',
}


def refuse_unresolved(value: object) -> None:
    """Refuse a setting that still waits for :func:`resolve_data`.

    Raises:
        ValueError: One line, with the mend.
    """
    if isinstance(value, str) and value[:5] == 'data.' and value[5:] in _PLACES.values():
        raise ValueError(
            f'{value!r} stands for what the folder of the data section says, which a plain Runner '
            'does not read; build the runner by RUNNERS.build(cfg), or call '
            'nasiam_mm.datasets.resolve_data(cfg) before'
        )


def resolve_data(cfg: Config | dict) -> list[str]:
    """Write what the folder of the ``data`` section says into a config; again changes nothing.

    Numbers of images that are more than the folder holds are lowered in proportion. Without
    labels there is no ``probe``. ``data.resolved`` keeps what was asked for and written; for
    another ``data.root`` it is taken back first.

    Args:
        cfg: A config, with or without the section; it is changed in place.

    Returns:
        list[str]: What had to be fitted to the folder, a line each.

    Raises:
        FileNotFoundError: If the folder says nothing of itself.
        ValueError: If it says something that is not valid, or lacks labels that are needed.
    """
    top = cfg._cfg_dict if isinstance(cfg, Config) else cfg
    section = top.get('data')
    if not isinstance(section, dict) or 'root' not in section:
        return []
    source = read_source(section['root'])
    facts = {
        'root': section['root'],
        'mean': list(source.mean),
        'std': list(source.std),
        'size': source.size,
        'num_classes': len(source.classes),
    }
    before = section.pop('resolved', {})
    used = set(before)
    is_other = any(before[fact] != facts[fact] for fact in before)
    for node in walk(top):
        for key, value in list(node.items()):
            fact = _PLACES.get(key)
            if is_other and fact in before and value == before[fact]:
                value = f'data.{fact}'
            if not isinstance(value, str) or value[5:] not in facts or value[:5] != 'data.':
                continue
            fact = value[5:]
            if fact == 'num_classes' and not source.classes:
                raise ValueError(f'{section["root"]}: has no labels, which {key} needs')
            node[key] = facts[fact]
            used.add(fact)
    section['resolved'] = {fact: value for fact, value in facts.items() if fact in used}
    notes = [] if source.classes else _drop_probe(top, section['root'])
    for node in reversed(list(walk(top))):  # parts before what draws from them
        notes += _fit(node, source)
    return list(dict.fromkeys(notes))


def _drop_probe(top: dict, root: str) -> list[str]:
    """Measure nothing that needs labels."""
    if not top.get('probe'):
        return []
    top['probe'] = None
    return [f'{root}: has no labels, so the backbone is not probed while it trains']


def _fit(node: dict, source: Source) -> list[str]:
    """Lower the counts of a part, or the neighbours of a probe, that the folder cannot give."""
    if node.get('type') == 'SplitDataset':
        parts, held = dict(node['parts']), _length(node['dataset'], source)
        counts = {part: size for part, size in parts.items() if isinstance(size, int)}
        wanted = sum(counts.values())
        if held is None or wanted <= held:
            return []
        counts = {part: max(1, size * held // wanted) for part, size in counts.items()}
        node['parts'] = {**parts, **counts}
        return [f'{source.name} has {held} images: parts {parts} become {dict(node["parts"])}']
    if 'k' in node and 'bank' in node:
        held = _length(node['bank']['dataset'], source)
        if held is not None and node['k'] > held:
            told = f'probe.k {node["k"]} becomes {max(1, held // 10)}'
            node['k'] = max(1, held // 10)
            return [f'the bank of the probe has {held} images: {told}']
    return []


def _length(dataset: Mapping, source: Source) -> int | None:
    """Return the number of images of a dataset's config; None for one that is not the folder's."""
    if dataset.get('type') == 'SplitDataset':
        held, size = _length(dataset['dataset'], source), dataset['parts'][dataset['part']]
        return held if held is None else size if isinstance(size, int) else int(held * size)
    if 'dataset' in dataset:
        return _length(dataset['dataset'], source)
    is_ours = dataset.get('type') == 'Images'
    return source.parts.get(dataset.get('split', 'train')) if is_ours else None
