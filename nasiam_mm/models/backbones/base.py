# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What backbones of choices have in common: decisions, cells, outputs, stages that are frozen.

Shapes: N batch, H and W pixels.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from nasiam_mm.architecture.choice import Choice, op_choices
from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError
from nasiam_mm.architecture.plan import BackbonePlan
from nasiam_mm.architecture.points import check_within
from nasiam_mm.models.backbones.arguments import whole, wholes
from nasiam_mm.models.backbones.decided import (
    Given,
    Spaces,
    decide,
    read_decisions,
    read_spaces,
    refuse_open,
    setting_choices,
    told_genotype,
)
from nasiam_mm.models.choice import ChoiceCell, FixedCell
from nasiam_mm.models.seeds import own_stream
from nasiam_mm.ops.candidates import candidate_labels
from nasiam_mm.ops.shapes import MapShape

_INIT = [
    dict(type='Kaiming', layer=['Conv2d']),
    dict(type='Constant', val=1, layer=['_BatchNorm']),
]


class ChoiceBackbone(BaseModule):
    """A backbone to be searched, or of what was decided, or as its recipe has it by hand.

    With ``space`` alone its operations are mixed by alpha; with ``genotype`` it is what a search,
    or chance, decided. An algorithm hands its own ``genotype`` on to it. First weights are a
    function of the run's seed and the backbone alone.

    Args:
        plan: What the recipe says.
        space: List of operations, or a dict of kinds of choices (docs/backbones.md). None for no
            choice.
        genotype: A genotype, the path of its file, or a dict of the options by the names of their
            choices; beside a space it must be one of it.
        mixing: See ``ChoiceCell``; ``auxiliary`` likewise.
        out_indices: Stages whose maps are given, from 0.
        frozen_stages: Stages, with the stem, that do not learn; 0 for none, as mmpretrain's -1.
        norm_eval: Whether BatchNorm keeps its statistics while training.
        init_cfg: See ``BaseModule``; None for He's initialisation.

    A genotype that decides nothing here or an option that does not fit is a GenotypeError, a space
    that cannot be mixed a ValueError.

    Attributes:
        groups: Names that its choices begin with.
        kinds: Kinds of choices that it has.
        searched: Group -> the cells that read its alpha; empty where nothing is searched.
        fixed: Name of a choice -> option, of what a space fixes beside the operations.
        out_channels: Width of the last map given.
    """

    groups: ClassVar[tuple[str, ...]] = ('backbone',)
    kinds: ClassVar[tuple[str, ...]] = ('op',)
    known: ClassVar[dict[str, type['ChoiceBackbone']]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.known[cls.__name__] = cls

    def __init__(
        self,
        plan: BackbonePlan,
        space: Sequence[str] | Mapping[str, Any] | None = None,
        genotype: Given | None = None,
        mixing: dict | None = None,
        auxiliary: dict | None = None,
        out_indices: Sequence[int] = (-1,),
        frozen_stages: int = 0,
        norm_eval: bool = False,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(_INIT if init_cfg is None else init_cfg)
        wholes(type(self).__name__, None, out_indices=out_indices)
        whole(type(self).__name__, -1, frozen_stages=frozen_stages)
        self.recipe, self.mixing, self.auxiliary = plan, mixing, auxiliary
        spaces: Spaces = {}
        if space is not None:
            spaces = read_spaces(space, self.groups, self.kinds)
        self.fixed: dict[str, Any] = {}
        taken: Mapping[str, Any] = {}
        decisions: dict[str, Sequence[Decision]] = {}
        if genotype is not None:
            given = read_decisions(genotype, self.groups)
            mine = {n: d for n, d in given.decisions.items() if n.split('.')[0] in self.groups}
            if space is not None:
                try:
                    check_within(Genotype(given.framework, mine), self.choices(space))
                except GenotypeError as error:
                    what = f'{told_genotype(genotype)} {error}'
                    raise GenotypeError(f'{what}; take one of its space') from None
            taken = {name: decision.chosen[0] for name, decision in mine.items()}
            decisions = {group: given.of(group) for group in self.groups}
            spaces = {}
        else:
            for group, kinds in spaces.items():
                settings = setting_choices(group, kinds, len(plan.blocks))
                refuse_open(settings)
                self.fixed |= {choice.name: choice.options[0] for choice in settings}
            taken = self.fixed
        self._check_kinds(taken)
        self.plan = decide(plan, taken)
        self.ops = {group: kinds.get('op') for group, kinds in spaces.items()}
        if spaces and not any(self.ops.values()):
            mend = 'add op=[...], or give it a genotype'
            raise ValueError(f'model.backbone.space leaves no operation to search; {mend}')
        self.decisions = decisions
        self.searched: dict[str, list[ChoiceCell]] = {}
        with own_stream('backbone'):
            self.build()
        count = len(self.plan.blocks)
        self.out_indices = tuple(index % count for index in out_indices)
        if any(not -count <= index < count for index in out_indices):
            raise ValueError(f'out_indices are stages from 0 to {count - 1}, got {out_indices!r}')
        self.out_channels = self.stage_channels()[self.out_indices[-1]]
        self.frozen_stages, self.norm_eval = frozen_stages, norm_eval
        self._freeze()

    def build(self) -> None:
        """Make the parts; ``plan``, ``ops`` and ``decisions`` stand."""
        raise NotImplementedError

    def shapes_of(self, plan: BackbonePlan) -> dict[str, tuple[MapShape, ...]]:
        """Layers of each group, by the plan."""
        raise NotImplementedError

    def stage_channels(self) -> tuple[int, ...]:
        """Width of what each stage gives."""
        raise NotImplementedError

    def parts_of_stage(self, stage: int) -> list[nn.Module]:
        """Modules of a stage; those of the stem for -1."""
        raise NotImplementedError

    def default_op(self, shape: MapShape) -> str:
        """Operation of a layer of which nothing is decided."""
        raise NotImplementedError

    def choices(self, space: Any) -> dict[str, tuple[Choice, ...]]:
        """Return the choices of a space, group by group; ValueError if it is none."""
        found = {}
        for group, kinds in read_spaces(space, self.groups, self.kinds).items():
            settings = setting_choices(group, kinds, len(self.recipe.blocks))
            found[group] = tuple(settings)
            if 'op' in kinds:
                plan = decide(self.recipe, {choice.name: choice.options[0] for choice in settings})
                ops = [str(op) for op in kinds['op']]
                found[group] += op_choices(group, ops, self.shapes_of(plan)[group])
        return found

    def cell(self, group: str, shapes: Sequence[MapShape]) -> ChoiceCell | FixedCell:
        """Make the layers of a group, searched or decided; GenotypeError where they do not fit."""
        if ops := self.ops.get(group):
            names = [str(op) for op in ops]
            cell = ChoiceCell(group, names, shapes, False, self.mixing, self.auxiliary)
            self.searched.setdefault(group, []).append(cell)
            return cell
        decided = self.decisions.get(group, ())
        if not decided:
            names = [self.default_op(shape) for shape in shapes]
            decided = [Decision((name,), (name,)) for name in names]
        if len(decided) != len(shapes):
            what = f'the genotype decides {len(decided)} layers of the {group}'
            raise GenotypeError(f'{what}, the recipe has {len(shapes)}; take the recipe of it')
        for n, (shape, decision) in enumerate(zip(shapes, decided, strict=True)):
            fitting = candidate_labels(decision.options, shape)
            if unfit := [option for option in decision.chosen if option not in fitting]:
                what = f'{group}.{n}.op: {unfit[0]} does not fit a layer of {shape.in_channels} to'
                raise GenotypeError(f'{what} {shape.out_channels} channels, stride {shape.stride}')
        return FixedCell(shapes, decided)

    def _check_kinds(self, names: Mapping[str, Any]) -> None:
        for name in names:
            if name.split('.')[-1] not in self.kinds:
                what = f'decides {name}, but {type(self).__name__} has {", ".join(self.kinds)}'
                raise GenotypeError(f'the genotype {what}')

    def every_stage(self, x: Tensor) -> list[Tensor]:
        """Map images, (N, 3, H, W), to what all stages give."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Map images, (N, 3, H, W), to the maps of the stages asked for."""
        maps = self.every_stage(x)
        return tuple(maps[stage] for stage in sorted({*self.out_indices}))

    @property
    def is_searched(self) -> bool:
        """Whether its operations are choices."""
        return bool(self.searched)

    def train(self, mode: bool = True) -> 'ChoiceBackbone':
        """Set the mode, of what is not frozen."""
        super().train(mode)
        self._freeze()
        for module in self.modules() if mode and self.norm_eval else ():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def _freeze(self) -> None:
        frozen = range(-1, min(self.frozen_stages, len(self.plan.blocks))) if (
            self.frozen_stages > 0) else ()  # fmt: skip
        for stage in frozen:
            for part in self.parts_of_stage(stage):
                part.eval()
                part.requires_grad_(False)


class ChainBackbone(ChoiceBackbone):
    """Stages that are chains of blocks behind a stem."""

    def build(self) -> None:
        """Make stem and blocks."""
        self.stem = self.make_stem()
        self.blocks = self.cell('backbone', self.shapes_of(self.plan)['backbone'])

    def make_stem(self) -> nn.Module:
        """Map images, (N, 3, H, W), to the first maps."""
        raise NotImplementedError

    def shapes_of(self, plan: BackbonePlan) -> dict[str, tuple[MapShape, ...]]:
        """Layers by the plan: those of a stage follow each other, the first of them strides."""
        shapes, width, size = [], plan.channels[0], plan.size
        for wide, count, stride in zip(self.widths(plan), plan.blocks, plan.strides, strict=True):
            for n in range(count):
                shape = MapShape(width, wide, stride if n == 0 else 1, size)
                shapes.append(shape)
                width, size = wide, -(-size // shape.stride)
        return {'backbone': tuple(shapes)}

    def widths(self, plan: BackbonePlan) -> tuple[int, ...]:
        """Width of each stage: a multiple of 8 of at least 8, unless the ratio is 1."""
        ratio = plan.width
        scaled = [max(1, round(c * ratio / 8)) * 8 if ratio != 1 else c for c in plan.channels[1:]]
        return tuple(scaled)

    def stage_channels(self) -> tuple[int, ...]:
        """Width of what each stage gives."""
        return self.widths(self.plan)

    def parts_of_stage(self, stage: int) -> list[nn.Module]:
        """Modules of a stage; those of the stem for -1."""
        if stage < 0:
            return [self.stem]
        first = sum(self.plan.blocks[:stage])
        return list(self.blocks.layers)[first : first + self.plan.blocks[stage]]

    def every_stage(self, x: Tensor) -> list[Tensor]:
        """Map images, (N, 3, H, W), to what all stages give."""
        x, rows, maps = self.stem(x), iter(enumerate(self.blocks.rows())), []
        for count in self.plan.blocks:
            for _ in range(count):
                n, row = next(rows)
                x = self.blocks.step(n, x, row)  # type: ignore[arg-type]
            maps.append(x)
        return maps
