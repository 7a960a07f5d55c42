# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes: what a search decided, as JSON, read with validation and never evaluated.

They hold decisions, not shapes: the widths come from the recipe that uses one.
"""

import json
import math
import operator
import os
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import compress
from typing import Any

from nasiam_mm.architecture.cells import draw_cell, is_cell
from nasiam_mm.architecture.choice import Choice, Choices, op_choices
from nasiam_mm.architecture.kinds.kind import Option
from nasiam_mm.architecture.names import idle_choices, read_name, told
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.ops.shapes import Shape, shape_of
from nasiam_mm.wording import counted

# Still 2 with choices that are no operations: an older reader refuses their names, it cannot
# misread them, and every older file stays what it was.
SCHEMA_VERSION = 2


class GenotypeError(ValueError):
    """A genotype that cannot be used; the message says what, where and the mend."""


@dataclass(frozen=True)
class Decision:
    """What was decided at one choice.

    Attributes:
        options: What there was to choose from, names or numbers, in the order of the space.
        chosen: The options taken: one, or several operations, whose outputs add.
        scores: Score of each option, such as alpha; None for an option that was the same
            function as an earlier one. Empty if nothing was scored.
    """

    options: tuple[Any, ...]
    chosen: tuple[Any, ...]
    scores: tuple[float | None, ...] = ()

    @property
    def told(self) -> str:
        """What was chosen, as messages, logs and the identity of a run have it."""
        return told(self.chosen)

    @property
    def scored(self) -> dict[Any, float]:
        """Candidate -> score, without the options that were none."""
        pairs = zip(self.options, self.scores, strict=False)
        return {option: score for option, score in pairs if score is not None}

    @property
    def weights(self) -> dict[Any, float]:
        """Candidate -> softmax of its score: the mixing weight of a search by softmax."""
        scored = self.scored
        top = max(scored.values(), default=0.0)
        terms = {option: math.exp(score - top) for option, score in scored.items()}
        total = sum(terms.values())
        return {option: term / total for option, term in terms.items()}

    @property
    def tied(self) -> tuple[Any, ...]:
        """Candidates left out whose score equals the lowest chosen one: not earned."""
        return self._left_out(operator.eq)

    @property
    def better(self) -> tuple[Any, ...]:
        """Candidates left out whose score is higher than the lowest chosen one."""
        return self._left_out(operator.gt)

    def _left_out(self, compare: Callable[[float, float], bool]) -> tuple[Any, ...]:
        if not (scored := self.scored):
            return ()
        lowest = min(scored[option] for option in self.chosen)
        left = (option for option in scored if option not in self.chosen)
        return tuple(option for option in left if compare(scored[option], lowest))


@dataclass(frozen=True, repr=False)
class Genotype:
    """Decisions of a search in one framework.

    Attributes:
        framework: Algorithm it was searched in, such as ``'SimSiam'``.
        decisions: Name of the choice (``'projector.3.op'``) -> decision, in order.
        provenance: Where it came from: selection, config, dataset digest, seed, epoch, package
            versions; ``decided_at`` holds the widths it was decided at, head -> list of
            [in_channels, out_channels, is_output], of maps [in_channels, out_channels, stride,
            size in pixels].
    """

    framework: str
    decisions: Mapping[str, Decision]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of the heads, and of groups of a backbone, in order."""
        return tuple(dict.fromkeys(name.split('.')[0] for name in self.decisions if '.' in name))

    @property
    def top_k(self) -> int:
        """Operations per layer (NASiam, Algorithm 1: two with ``edge``)."""
        return max(len(decision.chosen) for decision in self.decisions.values())

    @property
    def edges(self) -> int | None:
        """Edges that a node of its cells keeps, where its provenance tells a usable number."""
        told = self.provenance.get('edges')
        return told if type(told) is int and told > 0 else None

    def of(self, head: str) -> tuple[Decision, ...]:
        """Decisions of the operations of a head, input first; empty if there is none."""
        named = ((name.split('.'), decision) for name, decision in self.decisions.items())
        return tuple(d for parts, d in named if parts[0] == head and parts[2:] == ['op'])

    def settings(self, head: str = '') -> dict[str, Option]:
        """What else is decided of a head, or with '' of none: kind, as ``'depth'`` -> option."""
        named = ((name.rpartition('.'), decision) for name, decision in self.decisions.items())
        return {kind: d.chosen[0] for (before, _, kind), d in named if before == head}

    @property
    def summary(self) -> str:
        """Heads with their numbers of layers and what else was decided, in a few words."""
        parts = []
        for head in self.heads:
            settings = self.settings(head)
            form, depth = settings.get('form', 'mlp'), settings.get('depth')
            count = depth if isinstance(depth, int) else len(self.of(head))
            if form == 'none':
                parts.append(f'no {head}')
            elif form == 'linear':
                parts.append(f'{head} of one linear map')
            else:
                parts.append(f'{head} of {counted(count, "layer")}' if count else head)
        coupled = [f'{kind} {told((option,))}' for kind, option in self.settings().items()]
        return ', '.join([*parts, *coupled])

    def __repr__(self) -> str:
        return f'Genotype({self.framework}: {self.summary})'

    def stages(self, group: str) -> dict[str, dict[int, Option]]:
        """What is decided of the stages of a backbone: kind, as ``'blocks'`` -> stage -> option."""
        found: dict[str, dict[int, Option]] = {}
        for name, decision in self.decisions.items():
            head, stage, kind = read_name(name)
            if head == group and kind.level == 'stage':
                found.setdefault(kind.name, {})[int(stage)] = decision.chosen[0]
        return found

    def _repr_svg_(self) -> str:
        """Draw it where a notebook shows it."""
        # By name: the room that draws is above this one, and imports go down.
        pictures = 'nasiam_mm.report.pictures'
        figure = import_module(f'{pictures}.genotype_drawing').genotype_figure(self)
        return import_module(f'{pictures}.figure').figure_svg(figure)

    def decided_at(self, head: str) -> tuple[Shape, ...] | None:
        """Widths at which the head was decided, or None where nobody told."""
        rows = self.provenance.get('decided_at', {}).get(head)
        return None if rows is None else tuple(shape_of(row) for row in rows)


def random_genotype(
    framework: str,
    choices: Choices,
    seed: int,
    top_k: int = 1,
    provenance: Mapping[str, Any] = {},
    edges: int | None = None,
) -> Genotype:
    """Draw every choice uniformly from its candidates: the honest baseline.

    What decides nothing beside the rest of the draw, as an operation beyond the depth, is left out.

    Args:
        framework: Algorithm that it is for.
        choices: Of the space.
        seed: Of the draw.
        top_k: Operations a layer.
        provenance: What else the genotype tells of itself.
        edges: Edges that a node of a cell keeps, where what is derived has so many (``TopEdges``):
            which, and their operations, by chance. None where each edge is drawn by itself, which
            seldom leaves one out.
    """
    decisions: dict[str, Decision] = {}
    told: dict[str, Any] = {'selection': 'random', 'top_k': top_k, 'seed': seed}
    for number, layers in enumerate(choices.values()):
        # One seed a head, or equal shapes would draw equal operations.
        rng = random.Random(seed * len(choices) + number)
        if edges is not None and is_cell(layers):
            told['edges'] = edges
            drawn = zip(layers, draw_cell(layers, edges, rng), strict=True)
            decisions |= {choice.name: Decision(choice.options, (op,)) for choice, op in drawn}
            continue
        for choice in layers:
            options = list(compress(choice.options, choice.present))
            several = top_k if read_name(choice.name).kind.level == 'layer' else 1
            chosen = rng.sample(options, min(several, len(options)))
            decisions[choice.name] = Decision(choice.options, tuple(chosen))
    return Genotype(framework, _less_idle(decisions), {**told, **provenance})


def _less_idle(decisions: dict[str, Decision]) -> dict[str, Decision]:
    idle = idle_choices({name: decision.chosen[0] for name, decision in decisions.items()})
    return {name: decision for name, decision in decisions.items() if name not in idle}


def choices_of(genotype: Genotype) -> dict[str, tuple[Choice, ...]]:
    """Choices that a genotype decided; where no width is told, every option is a candidate.

    GenotypeError if it decided more than operations: what decided nothing it does not hold.
    """
    if more := [name for name in genotype.decisions if not name.endswith('.op')]:
        mend = 'draw from the config that has the space'
        raise GenotypeError(f'decides {more[0]}, so it does not tell its whole space; {mend}')
    choices = {}
    for head in genotype.heads:
        options, shapes = [d.options for d in genotype.of(head)], genotype.decided_at(head)
        if shapes is not None:
            choices[head] = op_choices(head, options[0], shapes)
        else:
            rows = enumerate(options)
            choices[head] = tuple(Choice(f'{head}.{n}.op', o, (True,) * len(o)) for n, o in rows)
    return choices


def save_genotype(genotype: Genotype, path: str | os.PathLike) -> None:
    """Write a genotype as JSON in the order of the schema, whole or not at all."""
    rows = []
    for name, decision in genotype.decisions.items():
        row: dict[str, tuple] = {'options': decision.options, 'chosen': decision.chosen}
        if decision.scores:
            row['scores'] = decision.scores
        rows.append(f'    {json.dumps(name)}: {json.dumps(row, allow_nan=False)}')
    whole = {'schema_version': SCHEMA_VERSION, 'framework': genotype.framework, 'decisions': {}}
    whole['provenance'] = dict(genotype.provenance)
    body = json.dumps(whole, indent=2, allow_nan=False)
    # A decision a line, as people read them.
    text = body.replace('"decisions": {}', '"decisions": {\n' + ',\n'.join(rows) + '\n  }', 1)
    with atomic_path(path) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')
