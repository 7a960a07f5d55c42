# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Reading and validation of genotype JSON (contract C7: a genotype is data)."""

import os
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nasiam_mm.architecture.fields import Fields, parse_json, refuse
from nasiam_mm.architecture.genotype import SCHEMA_VERSION, Decision, Genotype, GenotypeError
from nasiam_mm.architecture.kinds.kind import Kind
from nasiam_mm.architecture.names import check_options, idle_choices, read_name
from nasiam_mm.architecture.schema1 import upgrade
from nasiam_mm.ops.candidates import check_space, distinct_candidates
from nasiam_mm.ops.shapes import keeps_shape, shape_of
from nasiam_mm.wording import no_genotype

_MAX_BYTES, _MAX_DECISIONS = 2**20, 1000


def load_genotype(path: str | os.PathLike) -> Genotype:
    """Read and validate a genotype file of schema 2 or 1, see :func:`read_genotype`."""
    text, reason = None, 'is not a file'
    try:
        about = os.stat(path)
        if about.st_size > _MAX_BYTES:
            reason = f'has {about.st_size} bytes; one has at most {_MAX_BYTES}'
        elif stat.S_ISREG(about.st_mode):
            text = Path(path).read_text(encoding='utf-8')
    except FileNotFoundError:
        raise GenotypeError(no_genotype(path)) from None
    except (OSError, ValueError) as error:
        # ValueError: not UTF-8, or a path with a null character.
        reason = f'cannot be read: {error}'
    if text is None:
        raise GenotypeError(f"genotype '{path}' {reason}")
    return read_genotype(text, source=str(path))


def read_genotype(text: str, source: str = 'text') -> Genotype:
    """Parse and validate a genotype; messages call it ``source``, usually the file's path.

    Raises:
        GenotypeError: For anything that does not fit the schema, in one line: what, where, mend.
    """
    data = parse_json(text, source)
    version = Fields(source, '', data).take('schema_version', int)
    if version == 1:
        data = upgrade(data, source)
    elif version != SCHEMA_VERSION:
        what = f'is {version!r:.20}, this package reads 1 and {SCHEMA_VERSION}'
        mend = 'search again, or use the package version that wrote it'
        refuse(source, 'schema_version', f'{what}; {mend}')
    whole = Fields(source, '', data, {'schema_version', 'framework', 'decisions', 'provenance'})
    framework = whole.take('framework', str)
    if not framework.isprintable() or not 1 <= len(framework) <= 100:
        whole.fail('framework', 'must name the algorithm, such as "SimSiam"')
    found = whole.take('decisions', dict)
    if not 1 <= len(found) <= _MAX_DECISIONS:
        whole.fail('decisions', f'holds {len(found)}; there are 1 to {_MAX_DECISIONS}')
    decisions: dict[str, Decision] = {}
    heads: dict[str, list[Decision]] = {}
    for name, value in found.items():
        try:
            head, layer, kind = read_name(name)
        except ValueError as error:
            whole.fail('decisions', str(error))
        where = f'decisions.{name}'
        is_layer = kind.level == 'layer'
        layers = heads.setdefault(head, []) if is_layer else []
        if is_layer and layer != str(len(layers)):
            due = f'{head:.60}.{len(layers)}.op'
            whole.fail('decisions', f'{name!r:.60} stands where "{due}" belongs')
        fields = Fields(source, where, value, {'options', 'chosen', 'scores'})
        decisions[name] = _decision(fields, kind)
        layers.append(decisions[name])
    for head, layers in heads.items():
        if len({layer.options for layer in layers}) > 1:
            whole.fail(f'decisions.{head}', 'has layers of different options')
        try:
            check_space(layers[0].options)
        except ValueError as error:
            whole.fail(f'decisions.{head}.0.op.options', str(error))
    taken = {name: decision.chosen[0] for name, decision in decisions.items()}
    for name, why in idle_choices(taken).items():
        whole.fail(f'decisions.{name}', f'decides nothing: {why}; take it away')
    provenance = Fields(source, 'provenance', whole.take('provenance', dict, {}))
    _check_widths(provenance, heads)
    _check_top(provenance, decisions)
    _check_undecided(provenance, decisions)
    return Genotype(framework, decisions, provenance.data)


def _decision(fields: Fields, kind: Kind) -> Decision:
    options: tuple[Any, ...]
    chosen: tuple[Any, ...]
    if kind.level == 'layer':
        options, chosen = fields.strings('options'), fields.strings('chosen')
    else:
        options, chosen = (
            fields.checked(key, partial(check_options, kind)) for key in ('options', 'chosen')
        )
    if not chosen:
        fields.fail('chosen', 'is empty; name at least one option')
    known = set(options)
    for n, one in enumerate(chosen):
        if one not in known:
            fields.fail(f'chosen[{n}]', f'{one!r:.60} is not among the options {options!r:.200}')
    if twice := [option for option, count in Counter(chosen).items() if count > 1]:
        fields.fail('chosen', f'names {twice[0]!r:.60} twice')
    if len(chosen) > 1 and kind.level != 'layer':
        fields.fail('chosen', f'has {len(chosen)} options; operations alone add, take one')
    scores = fields.numbers('scores', len(options), 'options', or_null=True)
    decision = Decision(options, chosen, scores)
    if scores and (unscored := set(chosen).difference(decision.scored)):
        fields.fail('scores', f'has null for {min(unscored)!r:.60}, which was chosen')
    return decision


def _check_widths(told: Fields, heads: Mapping[str, Sequence[Decision]]) -> None:
    """Check the widths that were told, and that scores fit the candidates there."""
    for head, rows in told.take('decided_at', dict, {}).items():
        where = f'decided_at.{head:.60}'
        if head not in heads:
            told.fail(where, f'is no head of the decisions; they are {list(heads)}')
        if not isinstance(rows, list) or len(rows) != len(heads[head]):
            told.fail(where, f'must be a list of {len(heads[head])} layers, got {rows!r:.60}')
        for n, (row, decision) in enumerate(zip(rows, heads[head], strict=True)):
            at = f'{where}[{n}]'
            is_map = isinstance(row, list) and len(row) == 4
            if is_map and not all(type(number) is int and number > 0 for number in row):
                told.fail(at, f'must be [in, out, stride, size], got {row!r:.60}')
            if not is_map and not (
                isinstance(row, list) and len(row) == 3 and isinstance(row[2], bool)
            ):
                told.fail(at, f'must be [in, out, is output], got {row!r:.60}')
            if n and rows[n - 1][1] != row[0]:
                told.fail(at, f'takes {row[0]!r:.60}, but layer {n - 1} gives {rows[n - 1][1]}')
            if row[2] is True and n < len(rows) - 1:
                told.fail(at, 'is an output before the last layer')
            try:
                present = distinct_candidates(decision.options, shape_of(row))
            except (ValueError, RuntimeError) as error:
                told.fail(at, f'an operation does not take these widths: {error}')
            gone = told.take('dropped', dict, {}).get(f'{head}.{n}.op', [])
            options = (decision.options[position] for position in present)
            expected = [option for option in options if option not in gone]
            if decision.scores and (scored := list(decision.scored)) != expected:
                what = f'scores {scored}, but the candidates at these widths are {expected}'
                refuse(told.source, f'decisions.{head}.{n}.op.scores', what)


def _check_top(told: Fields, decisions: Mapping[str, Decision]) -> None:
    """Check how many options were chosen, and that a search's are those of the highest scores."""
    top_k = told.take('top_k', int, max(len(decision.chosen) for decision in decisions.values()))
    if top_k < 1:
        told.fail('top_k', f'must be at least 1, got {top_k!r:.20}')
    most = told.take('at_most', int, top_k)
    limit = told.data.get('max_identity')
    selection = told.data.get('selection')
    for name, decision in decisions.items():
        where, number = f'decisions.{name}.chosen', len(decision.chosen)
        if number > top_k:
            refuse(told.source, where, f'has {number} options, but provenance.top_k: {top_k}')
        if number > most:
            refuse(told.source, where, f'has {number} options, but provenance.at_most: {most}')
        if selection not in ('top_k', 'threshold', 'perturbation') or not decision.scores:
            continue
        if selection == 'threshold' and decision.chosen == ('identity',) and _passes_on(told, name):
            continue  # a layer that is empty, whatever its scores
        better = decision.better
        if limit is not None and _passes_on(told, name):
            better = tuple(option for option in better if option != 'identity')
        if better:
            what = f'{list(decision.chosen)} is not the top of the scores, {better[0]!r} is higher'
            refuse(told.source, where, f'{what}; correct it, or remove the scores')
        wanted = min(1 if selection == 'perturbation' else top_k, len(decision.scored))
        # Without its identity, a layer may have nothing else for its second place.
        least = max(1, wanted - 1) if better != decision.better else wanted
        if selection != 'threshold' and not least <= number <= wanted:
            refuse(told.source, where, f'has {number} options; {selection} takes {wanted} here')
    if limit is not None:
        _check_identities(told, decisions)


def _passes_on(told: Fields, name: str) -> bool:
    """Tell whether an identity is one at a layer: where the width changes it is a linear map."""
    head, layer, *_ = [*name.split('.'), '']
    rows = told.data.get('decided_at', {}).get(head)
    if rows is None or not layer.isdecimal():
        return True
    return keeps_shape(shape_of(rows[int(layer)]))


def _check_identities(told: Fields, decisions: Mapping[str, Decision]) -> None:
    """Check that no more layers of a head begin with an identity than a search allowed."""
    limit = told.take('max_identity', int)
    begin = Counter(
        name.split('.')[0]
        for name, decision in decisions.items()
        if decision.chosen[0] == 'identity' and len(decision.scored) > 1 and _passes_on(told, name)
    )
    for head, number in begin.items():
        if number > limit:
            what = f'has {number} layers that are an identity, but provenance.max_identity: {limit}'
            refuse(told.source, f'decisions.{head:.60}', what)


def _check_undecided(told: Fields, decisions: Mapping[str, Decision]) -> None:
    """Check the choices that a search said were within noise."""
    names = told.strings('undecided', [])
    for n, name in enumerate(names):
        if name not in decisions or name in names[:n]:
            what = 'stands there twice' if name in decisions else 'is no choice of the decisions'
            told.fail(f'undecided[{n}]', f'{name!r:.60} {what}')
