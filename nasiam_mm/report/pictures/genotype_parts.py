# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the picture of a genotype shows: rows of boxes and cells, in words and numbers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from nasiam_mm.architecture.genotype import Genotype
from nasiam_mm.ops.candidates import SPACES, LayerShape, candidate_labels

_PROVENANCE = ('dataset', 'epoch', 'seed', 'config', 'imported_from')


class Plain(NamedTuple):
    """A box that is no searched cell."""

    label: str
    note: str = ''
    width: float = 0.8


class Layer(NamedTuple):
    """A layer of a searched cell; ``shape`` is None where nobody told the widths."""

    shape: LayerShape | None
    ops: tuple[str, ...]
    weights: dict[str, float]
    tied: tuple[str, ...]


class Cell(NamedTuple):
    """A searched cell."""

    name: str
    layers: tuple[Layer, ...]

    @property
    def title(self) -> str:
        """What stands over it."""
        return f'{self.name} cell'


Row = Sequence[Plain | Cell]


def titles(genotype: Genotype) -> tuple[str, str]:
    """Title and subtitle."""
    space = next(iter(genotype.decisions.values())).options
    known = [name for name, ops in SPACES.items() if ops == space]
    told = f'space {known[0]}' if known else f'{len(space)} operations'
    more = ', two operations a layer' if genotype.top_k > 1 else ''
    provenance = [
        f'{key.replace("_", " ")} {_short(genotype.provenance[key])}'
        for key in _PROVENANCE
        if isinstance(genotype.provenance.get(key), str | int | float)
    ]
    title = f'{genotype.framework}, {told}{more}'
    return title, ', '.join(provenance) or 'no provenance recorded'


def _short(value: Any) -> str:
    text = ' '.join(str(value).split())
    # The end of a path says more than its start.
    return text if len(text) <= 48 else f'...{text[-45:]}'


def layers_of(genotype: Genotype, head: str) -> tuple[Layer, ...]:
    """Layers of a head; operations by what they are at the widths they were decided at."""
    decisions = genotype.of(head)
    shapes = genotype.decided_at(head) or (None,) * len(decisions)
    layers = []
    for shape, decision in zip(shapes, decisions, strict=True):
        labels = candidate_labels(decision.options, shape) if shape else {}

        def label(option: str, labels: dict[str, str] = labels) -> str:
            return labels.get(option, option)

        weights = {label(option): weight for option, weight in decision.weights.items()}
        ops = tuple(dict.fromkeys(map(label, decision.chosen)))
        layers.append(Layer(shape, ops, weights, tuple(map(label, decision.tied))))
    return tuple(layers)


def rows_of(genotype: Genotype) -> list[Row]:
    """Lay the flow out, a row a cell."""
    cells = {name: Cell(name, layers_of(genotype, name)) for name in genotype.heads}
    z = _width(cells, 'predictor', first=True)
    rows: list[Row] = []
    if 'projector' in cells:
        first, last = (_width(cells, 'projector', first=end) for end in (True, False))
        row: list = [Plain('image'), Plain('backbone', f'{first or ""}'), cells['projector']]
        if genotype.framework.lower() == 'simclr':  # Its cell ends in z itself.
            z = last
        else:
            row.append(Plain('output\nlayer', f'{last} → {z}' if z and last else ''))
        rows.append([*row, Plain('z', f'{z or ""}', 0.55)])
    elif 'predictor' in cells:
        z_box = Plain('z', f'{z or ""}', 0.55)
        rows.append([Plain('image'), Plain('backbone'), Plain('projector'), z_box])
    if 'predictor' in cells:
        last = _width(cells, 'predictor', first=False)
        rows.append([cells['predictor'], Plain('p', f'{last or ""}', 0.55)])
    rest = [cell for name, cell in cells.items() if name not in ('projector', 'predictor')]
    rows += [[Plain('input'), cell, Plain('output')] for cell in rest]
    return rows


def _width(cells: dict[str, Cell], name: str, first: bool) -> int | None:
    """Input or output width of a cell, where it is there and its widths are told."""
    layers = cells[name].layers if name in cells else ()
    shape = layers[0 if first else -1].shape if layers else None
    return None if shape is None else shape.in_channels if first else shape.out_channels


def notes(number: int, layer: Layer) -> list[str]:
    """Lines under a layer's box; what tied comes last."""
    lines = [f'layer {number}']
    if layer.shape is not None:
        lines.append(f'{layer.shape.in_channels} → {layer.shape.out_channels}')
        if layer.shape.is_output:
            lines.append('output, no BN')
    if len(layer.tied) > 1:
        lines.append(f'tied with {len(layer.tied)} others')
    elif layer.tied:
        lines += ['tied with', layer.tied[0]]
    return lines
