# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Reading and validation of genotype JSON (contract C7: a genotype is data)."""

import json
import math
import os
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import torch

from nasiam_mm.architecture.genotype import (
    SCHEMA_VERSION,
    CellGenotype,
    Genotype,
    GenotypeError,
    LayerGenotype,
)
from nasiam_mm.ops.candidates import MAX_WIDTH, check_space, distinct_candidates

_KIND = {
    dict: 'an object',
    list: 'a list',
    str: 'a string',
    bool: 'true or false',
    int: 'an integer',
}


def load_genotype(path: str | os.PathLike) -> Genotype:
    """Read and validate a genotype file.

    Raises:
        GenotypeError: If the file is missing, is not JSON, or holds anything
            that does not fit the schema; the message names the place.
    """
    try:
        text = Path(path).read_text(encoding='utf-8')
    except FileNotFoundError:
        raise GenotypeError(
            f"genotype '{path}' does not exist; run a search first, or pass --genotype FILE"
        ) from None
    except (OSError, ValueError) as error:
        raise GenotypeError(f"genotype '{path}' cannot be read: {error}") from None
    return read_genotype(text, source=str(path))


def read_genotype(text: str, source: str = 'text') -> Genotype:
    """Parse and validate a genotype.

    Args:
        text: JSON.
        source: What to call it in messages, usually the file's path.

    Raises:
        GenotypeError: One line that says what is wrong, where, and the mend.
    """
    return _Reader(source).genotype(text)


class _Reader:
    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, where: str, what: str) -> NoReturn:
        place = f', {where}' if where else ''
        raise GenotypeError(f"genotype '{self.source}'{place}: {what}")

    def take(self, data: dict, where: str, key: str, kind: type, default: Any = ...) -> Any:
        if key not in data:
            if default is ...:
                self.fail(where, f'{key!r} is missing')
            return default
        value = data[key]
        # bool is an int in Python, but not in JSON.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fail(f'{where}.{key}'.lstrip('.'), f'must be {_KIND[kind]}, got {value!r:.60}')
        return value

    def known_keys(self, data: dict, where: str, known: set[str]) -> None:
        unknown = sorted(set(data) - known)
        if unknown:
            self.fail(where, f'unknown key {unknown[0]!r}; known are {sorted(known)}')

    def strings(self, data: dict, where: str, key: str, default: Any = ...) -> tuple[str, ...]:
        values = self.take(data, where, key, list, default)
        for n, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f'{where}.{key}[{n}]'.lstrip('.'), f'must be a string, got {value!r:.60}')
        return tuple(values)

    def numbers(self, data: dict, where: str, key: str, length: int) -> tuple[float, ...]:
        values = self.take(data, where, key, list, [])
        for n, value in enumerate(values):
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                self.fail(f'{where}.{key}[{n}]', f'must be a number, got {value!r:.60}')
            # An integer beyond the range of a float is as useless as an infinity.
            if abs(value) > sys.float_info.max or math.isnan(value):
                self.fail(f'{where}.{key}[{n}]', f'must be finite, got {value!r:.60}')
        if values and len(values) != length:
            self.fail(f'{where}.{key}', f'has {len(values)} values for {length} candidates')
        return tuple(float(value) for value in values)

    def genotype(self, text: str) -> Genotype:
        data = self._parse(text)
        self.known_keys(
            data, '', {'schema_version', 'framework', 'space', 'edge', 'cells', 'provenance'}
        )
        version = self.take(data, '', 'schema_version', int)
        if version != SCHEMA_VERSION:
            self.fail(
                'schema_version',
                f'is {version}, this package reads {SCHEMA_VERSION}; search again, or use the '
                'package version that wrote it',
            )
        framework = self.take(data, '', 'framework', str)
        if not framework:
            self.fail('framework', 'must name the algorithm, such as "SimSiam"')
        space = self.strings(data, '', 'space')
        try:
            check_space(space)
        except ValueError as error:
            self.fail('space', str(error))
        edge = self.take(data, '', 'edge', bool, False)
        cells = self.take(data, '', 'cells', dict)
        if not cells:
            self.fail('cells', 'must hold at least one cell')
        for name in cells:
            if not name.isidentifier():
                self.fail('cells', f'{name!r:.60} cannot name a cell; use "projector", "predictor"')
        return Genotype(
            framework=framework,
            space=space,
            cells={
                name: self._cell(cell, f'cells.{name}', space, edge) for name, cell in cells.items()
            },
            provenance=self.take(data, '', 'provenance', dict, {}),
            edge=edge,
        )

    def _parse(self, text: str) -> dict:
        def no_repeats(pairs: list[tuple[str, Any]]) -> dict:
            found: dict[str, Any] = {}
            for key, value in pairs:
                if key in found:
                    self.fail('', f'key {key!r} stands twice in one object')
                found[key] = value
            return found

        def no_constant(name: str) -> NoReturn:
            self.fail('', f'holds {name}, which is not JSON; numbers must be finite')

        try:
            data = json.loads(text, object_pairs_hook=no_repeats, parse_constant=no_constant)
        except json.JSONDecodeError as error:
            if text.lstrip().startswith('Genotype('):
                self.fail(
                    '',
                    "is the authors' text form; convert it with "
                    'tools/model_converters/import_published_genotype.py',
                )
            self.fail(f'line {error.lineno}', f'is not JSON: {error.msg}')
        except RecursionError:
            self.fail('', 'is nested too deeply to be a genotype')
        except GenotypeError:
            raise
        except ValueError as error:
            # Python refuses to convert integers of thousands of digits.
            self.fail('', f'is not JSON for a genotype: {error}')
        if not isinstance(data, dict):
            self.fail('', f'must be an object, got {type(data).__name__}')
        return data

    def _cell(self, data: Any, where: str, space: tuple[str, ...], edge: bool) -> CellGenotype:
        if not isinstance(data, dict):
            self.fail(where, f'must be an object, got {data!r:.60}')
        self.known_keys(data, where, {'layers'})
        layers = self.take(data, where, 'layers', list)
        if not layers:
            self.fail(f'{where}.layers', 'must hold at least one layer')
        read = [
            self._layer(layer, f'{where}.layers[{n}]', space, edge)
            for n, layer in enumerate(layers)
        ]
        for n, (before, after) in enumerate(pairwise(read), start=1):
            if before.out_channels != after.in_channels:
                self.fail(
                    f'{where}.layers[{n}].in_channels',
                    f'is {after.in_channels}, but layer {n - 1} gives {before.out_channels}',
                )
            if before.is_output:
                self.fail(f'{where}.layers[{n - 1}].is_output', 'is true before the last layer')
        return CellGenotype(tuple(read))

    def _layer(self, data: Any, where: str, space: tuple[str, ...], edge: bool) -> LayerGenotype:
        if not isinstance(data, dict):
            self.fail(where, f'must be an object, got {data!r:.60}')
        self.known_keys(data, where, set(LayerGenotype.__dataclass_fields__))
        shape = (
            self.take(data, where, 'in_channels', int),
            self.take(data, where, 'out_channels', int),
            self.take(data, where, 'is_output', bool, False),
        )
        for key, width in zip(('in_channels', 'out_channels'), shape, strict=False):
            if not 1 <= width <= MAX_WIDTH:
                self.fail(f'{where}.{key}', f'must be from 1 to {MAX_WIDTH}, got {width!r:.60}')
        try:
            expected = tuple(distinct_candidates(space, *shape).values())
        except (ValueError, RuntimeError) as error:
            self.fail(where, f'an operation does not take these widths: {error}')
        candidates = self.strings(data, where, 'candidates', list(expected))
        if candidates != expected:
            self.fail(
                f'{where}.candidates',
                f'is {list(candidates)}, but this space gives {list(expected)} at these widths',
            )
        layer = LayerGenotype(
            *shape,
            candidates=candidates,
            ops=self._ops(data, where, candidates, edge),
            alpha=self.numbers(data, where, 'alpha', len(candidates)),
            softmax=self.numbers(data, where, 'softmax', len(candidates)),
            tied=self.strings(data, where, 'tied', []),
        )
        self._consistent(layer, where)
        return layer

    def _ops(
        self, data: dict, where: str, candidates: tuple[str, ...], edge: bool
    ) -> tuple[str, ...]:
        ops = self.strings(data, where, 'ops')
        wanted = min(1 + edge, len(candidates))
        # Two published names that are one function at this layer import as one operation.
        merged = edge and len(ops) == 1 and not data.get('alpha')
        if len(ops) != wanted and not merged:
            self.fail(f'{where}.ops', f'has {len(ops)} operations; edge={edge} needs {wanted}')
        for n, op in enumerate(ops):
            if op not in candidates:
                self.fail(
                    f'{where}.ops[{n}]',
                    f'{op!r} is not among the candidates {list(candidates)}',
                )
        if len(set(ops)) != len(ops):
            self.fail(f'{where}.ops', f'names {ops[0]!r} twice')
        return ops

    def _consistent(self, layer: LayerGenotype, where: str) -> None:
        for n, op in enumerate(layer.tied):
            if op not in layer.candidates or op in layer.ops:
                self.fail(f'{where}.tied[{n}]', f'{op!r} is not a candidate that was left out')
        if bool(layer.alpha) != bool(layer.softmax):
            self.fail(where, 'alpha and softmax go together; give both or neither')
        if not layer.alpha:
            return
        alpha = torch.tensor(layer.alpha, dtype=torch.double)
        for n, (told, true) in enumerate(
            zip(layer.softmax, alpha.softmax(0).tolist(), strict=True)
        ):
            if abs(told - true) > 1e-4:
                self.fail(f'{where}.softmax[{n}]', f'is {told:.6g}, but alpha gives {true:.6g}')
        value = dict(zip(layer.candidates, layer.alpha, strict=True))
        lowest = min(value[op] for op in layer.ops)
        better = [op for op in layer.candidates if value[op] > lowest and op not in layer.ops]
        if better:
            self.fail(
                f'{where}.ops',
                f'{list(layer.ops)} is not the top of alpha, {better[0]!r} is higher; '
                'correct ops, or remove alpha and softmax',
            )
        tied = [op for op in layer.candidates if value[op] == lowest and op not in layer.ops]
        if list(layer.tied) != tied:
            self.fail(f'{where}.tied', f'is {list(layer.tied)}, but alpha ties {tied}')
