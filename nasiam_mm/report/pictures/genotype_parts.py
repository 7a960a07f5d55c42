# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the picture of a genotype shows: rows of boxes and cells, in words and numbers."""

from typing import Any, NamedTuple

from nasiam_mm.architecture.genotype import Genotype
from nasiam_mm.architecture.kinds.kind import BACKBONES, Option
from nasiam_mm.architecture.names import told
from nasiam_mm.ops.candidates import SPACES, candidate_labels
from nasiam_mm.ops.shapes import Shape
from nasiam_mm.wording import counted

NOISE = 'within noise'
_PROVENANCE = ('dataset', 'epoch', 'seed', 'config', 'imported_from')
# Steps of operations, by their words in the names of ours and of decided blocks.
_STEPS = {
    'linear': 'Linear', 'identity': 'Identity', 'max_pool_3': 'Max pool 3',
    'avg_pool_3': 'Avg pool 3', 'bn': 'BN', 'bn_no_affine': 'BN without affine', 'ln': 'LN',
    'relu': 'ReLU', 'gelu': 'GELU', 'silu': 'SiLU', 'elu': 'ELU', 'tanh': 'Tanh',
    'hardswish': 'Hardswish',
}  # fmt: skip


class Plain(NamedTuple):
    """A box that is no searched cell."""

    label: str
    note: str = ''
    width: float = 0.8


class Layer(NamedTuple):
    """A layer of a searched cell; ``shape`` is None where nobody told the widths.

    ``ops`` are what the operations are at these widths, ``taken`` the names of those chosen, as the
    space has them: identity is a linear map where the width changes.
    """

    shape: Shape | None
    ops: tuple[str, ...]
    weights: dict[str, float]
    tied: tuple[str, ...]
    is_undecided: bool = False  # the search says that its choice is within noise
    taken: tuple[str, ...] = ()
    edge: str = ''  # of a graph, between which of its nodes it is

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the operations, in the order of ``ops``."""
        return self.taken or self.ops


class Cell(NamedTuple):
    """A searched cell."""

    name: str
    layers: tuple[Layer, ...]
    settings: tuple[str, ...] = ()
    ends_in_output: bool = False

    @property
    def title(self) -> str:
        """What stands over it."""
        name = self.name if self.name == BACKBONES[0] else f'{self.name} cell'
        return ', '.join([name, *self.settings])

    @property
    def is_chain(self) -> bool:
        """Whether each layer takes what the one before gives: those of a graph are its edges."""
        return not any(layer.edge for layer in self.layers)

    def width(self, layer: int, side: int) -> str:
        """Input (side 0) or output (1) width of a layer, or '' where nobody told."""
        shape = self.layers[layer].shape if self.layers else None
        return '' if shape is None else str(shape[side])


def readable(op: str) -> str:
    """Write the name of an operation for people, as ``'Linear, BN, ReLU'``; others' as it is."""
    rest, steps = f'{op}_', []
    while rest:
        known = [step for step in _STEPS if rest.startswith(f'{step}_')]
        if not known:
            return op
        step = max(known, key=len)
        steps.append(_STEPS[step])
        rest = rest[len(step) + 1 :]
    return ', '.join(steps)


def titles(genotype: Genotype) -> tuple[str, str]:
    """Title and subtitle."""
    ops = next((genotype.of(head) for head in genotype.heads if genotype.of(head)), ())
    space = ops[0].options if ops else ()
    known = [name for name, ops in SPACES.items() if ops == space]
    found = (len(space), 'operation') if ops else (len(genotype.decisions), 'choice')
    count = counted(*found)
    said = f'space {known[0]}' if known else count
    more = ', two operations a layer' if genotype.top_k > 1 else ''
    provenance = [
        f'{key.replace("_", " ")} {_short(genotype.provenance[key])}'
        for key in _PROVENANCE
        if isinstance(genotype.provenance.get(key), str | int | float)
    ]
    coupled = [_setting(kind, option) for kind, option in genotype.settings().items()]
    title = ', '.join([f'{genotype.framework}, {said}{more}', *coupled])
    return title, ', '.join(provenance) or 'no provenance recorded'


def _short(value: Any) -> str:
    text = ' '.join(str(value).split())
    # The end of a path says more than its start.
    return text if len(text) <= 48 else f'...{text[-45:]}'


def cell_of(genotype: Genotype, head: str) -> Cell:
    """Describe a head: its layers, and above them what else was decided of it.

    Operations are told by what they are at the widths they were decided at. Where the depth was
    decided, or no operation was, the cell is the whole head, its output layer included.
    """
    settings = genotype.settings(head)
    layers = list(layers_of(genotype, head))
    if head in BACKBONES:
        if head != BACKBONES[0]:
            layers = [layer._replace(edge=edge_name(n)) for n, layer in enumerate(layers)]
        return Cell(head, tuple(layers), tuple(told_settings(genotype, head)))
    depth, form = settings.get('depth'), settings.get('form', 'mlp')
    is_whole = isinstance(depth, int) or not layers
    if is_whole:
        count = {'none': 0, 'linear': 1}.get(str(form), depth if isinstance(depth, int) else 2)
        norm, activation = settings.get('hidden_norm', 'bn'), settings.get('activation', 'relu')
        block = '_'.join(str(part) for part in ('linear', norm, activation) if part != 'none')
        layers += [Layer(None, (block,), {}, ())] * (count - 1 - len(layers))
        last = settings.get('output_norm', 'none')
        ends = 'linear' if last == 'none' else f'linear_{last}'
        layers += [Layer(None, (ends,), {}, ())] * (count > 0)
    # The layers show the others.
    in_layers = {'hidden_norm', 'activation', 'depth', *(['output_norm'] if is_whole else [])}
    shown = {kind: option for kind, option in settings.items() if kind not in in_layers}
    return Cell(head, tuple(layers), tuple(_setting(*pair) for pair in shown.items()), is_whole)


def edge_name(number: int) -> str:
    """Say between which nodes of a cell an edge is: all into the first node come first."""
    node, first = 1, 0
    while number >= first + node + 1:
        node, first = node + 1, first + node + 1
    source = number - first
    return f'{f"input {source + 1}" if source < 2 else f"node {source - 1}"} → node {node}'


def told_settings(genotype: Genotype, head: str) -> list[str]:
    """Say what else is decided of a head or a backbone, its stages in order."""
    staged = [
        f'{kind} {"-".join(told((of[stage],)) for stage in sorted(of))}'
        for kind, of in genotype.stages(head).items()
    ]
    return staged + [_setting(*pair) for pair in genotype.settings(head).items()]


def _setting(kind: str, option: Option) -> str:
    return f'{kind.replace("_", " ")} {told((option,))}'


def layers_of(genotype: Genotype, head: str) -> tuple[Layer, ...]:
    """Layers of a head whose operations were decided; see :func:`cell_of`."""
    decisions, layers = genotype.of(head), []
    told = genotype.provenance.get('undecided')
    undecided = told if isinstance(told, list) else []
    shapes = genotype.decided_at(head) or (None,) * len(decisions)
    for n, (shape, decision) in enumerate(zip(shapes, decisions, strict=True)):
        labels = dict(zip(decision.options, decision.options, strict=True))
        labels |= candidate_labels(decision.options, shape) if shape else {}
        weights = {labels[option]: weight for option, weight in decision.weights.items()}
        # Options that are one function here are one operation, by the name of the first.
        names: dict[str, str] = {}
        for option in decision.chosen:
            names.setdefault(labels[option], option)
        tied = tuple(labels[option] for option in decision.tied)
        is_undecided = f'{head}.{n}.op' in undecided
        layers.append(
            Layer(shape, tuple(names), weights, tied, is_undecided, tuple(names.values()))
        )
    return tuple(layers)


def rows_of(genotype: Genotype) -> list[list[Plain | Cell]]:
    """Lay the flow out, a row a cell."""
    cells = {name: cell_of(genotype, name) for name in genotype.heads}
    projector, predictor = cells.pop('projector', None), cells.pop('predictor', None)
    z = Plain('z', predictor.width(0, 0) if predictor else '', 0.55)
    groups = [cells.pop(group) for group in BACKBONES if group in cells]
    rows: list[list[Plain | Cell]] = [
        [Plain('image'), group, Plain('features')] for group in groups
    ]
    if projector:
        row: list[Plain | Cell] = [Plain('image'), Plain('backbone', projector.width(0, 0))]
        last = projector.width(-1, 1)
        # SimCLR's cell ends in z itself.
        if genotype.framework.lower() == 'simclr' or projector.ends_in_output:
            z = z._replace(note=last)
            rows.append([*row, projector, z])
        else:
            note = f'{last} → {z.note}' if z.note and last else ''
            rows.append([*row, projector, Plain('output\nlayer', note), z])
    if predictor:
        before = [] if projector else [Plain('image'), Plain('backbone'), Plain('projector')]
        rows.append([*before, z, predictor, Plain('p', predictor.width(-1, 1), 0.55)])
    return rows + [[Plain('input'), cell, Plain('output')] for cell in cells.values()]


def notes(number: int, layer: Layer) -> list[str]:
    """Lines under a layer's box; what tied comes last."""
    lines = [layer.edge or f'layer {number}']
    if layer.shape is not None:
        lines.append(f'width {layer.shape.in_channels} → {layer.shape.out_channels}')
        if layer.shape.is_output:
            lines.append('output, no BN')
        if layer.shape.stride > 1:
            lines.append(f'stride {layer.shape.stride}')
    if layer.names != layer.ops:
        lines.append(f'here {" + ".join(map(readable, layer.ops))}')
    if layer.is_undecided and not layer.tied:
        lines.append(NOISE)
    if len(layer.tied) > 1:
        lines.append(f'tied with {len(layer.tied)} others')
    elif layer.tied:
        lines += ['tied with', readable(layer.tied[0])]
    return lines
