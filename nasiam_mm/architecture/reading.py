# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Reading and validation of genotype JSON (contract C7: a genotype is data)."""

import os
import re
import stat
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nasiam_mm.architecture.choice import KINDS
from nasiam_mm.architecture.fields import Fields, parse_json
from nasiam_mm.architecture.genotype import SCHEMA_VERSION, Decision, Genotype, GenotypeError
from nasiam_mm.architecture.schema1 import upgrade
from nasiam_mm.ops.candidates import MAX_WIDTH, LayerShape, check_space, distinct_candidates

_NAME = re.compile(r'(\w+)\.(0|[1-9][0-9]*)\.([a-z]+)')
_MAX_BYTES, _MAX_DECISIONS = 2**20, 1000
_KEYS = {'schema_version', 'framework', 'decisions', 'provenance'}


def load_genotype(path: str | os.PathLike) -> Genotype:
    """Read and validate a genotype file of schema 2 or 1.

    Raises:
        GenotypeError: If the file is missing, is not JSON, or holds anything
            that does not fit the schema; the message names the place.
    """
    try:
        about = os.stat(path)
        if not stat.S_ISREG(about.st_mode):
            raise GenotypeError(f"genotype '{path}' is not a file")
        if about.st_size > _MAX_BYTES:
            raise GenotypeError(
                f"genotype '{path}' has {about.st_size} bytes; one has at most {_MAX_BYTES}"
            )
        text = Path(path).read_text(encoding='utf-8')
    except FileNotFoundError:
        raise GenotypeError(
            f"genotype '{path}' does not exist; run a search first, or pass --genotype FILE"
        ) from None
    except GenotypeError:
        raise
    except (OSError, ValueError) as error:
        # ValueError: not UTF-8, or a path with a null character.
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
    fields = Fields(source)
    data = parse_json(text, fields)
    version = fields.take(data, '', 'schema_version', int)
    if version == 1:
        data = upgrade(data, fields)
    elif version != SCHEMA_VERSION:
        fields.fail(
            'schema_version',
            f'is {version!r:.20}, this package reads 1 and {SCHEMA_VERSION}; search again, or use '
            'the package version that wrote it',
        )
    return _genotype(data, fields)


def _genotype(data: dict, fields: Fields) -> Genotype:
    fields.known_keys(data, '', _KEYS)
    framework = fields.take(data, '', 'framework', str)
    if not framework.isprintable() or not 1 <= len(framework) <= 100:
        fields.fail('framework', 'must name the algorithm, such as "SimSiam"')
    found = fields.take(data, '', 'decisions', dict)
    if not 1 <= len(found) <= _MAX_DECISIONS:
        fields.fail('decisions', f'holds {len(found)}; there are 1 to {_MAX_DECISIONS}')
    decisions: dict[str, Decision] = {}
    heads: dict[str, list[Decision]] = {}
    for name, value in found.items():
        match = _NAME.fullmatch(name)
        if match is None or not match[1].isidentifier() or match[3] not in KINDS:
            fields.fail(
                'decisions', f'{name!r:.60} is no name of a choice, such as "projector.0.op"'
            )
        layers = heads.setdefault(match[1], [])
        # As text: a number may have thousands of digits.
        if match[2] != str(len(layers)):
            fields.fail(
                'decisions', f'{name!r:.60} stands where "{match[1]:.60}.{len(layers)}.op" belongs'
            )
        decisions[name] = _decision(value, f'decisions.{name}', fields)
        layers.append(decisions[name])
    genotype = Genotype(framework, decisions, fields.take(data, '', 'provenance', dict, {}))
    _check_spaces(heads, fields)
    _check_widths(genotype, heads, fields)
    _check_top(genotype, fields)
    return genotype


def _decision(data: Any, where: str, fields: Fields) -> Decision:
    if not isinstance(data, dict):
        fields.fail(where, f'must be an object, got {data!r:.60}')
    fields.known_keys(data, where, {'options', 'chosen', 'scores'})
    options = fields.strings(data, where, 'options')
    chosen = fields.strings(data, where, 'chosen')
    if not chosen:
        fields.fail(f'{where}.chosen', 'is empty; name at least one option')
    known = set(options)
    for n, option in enumerate(chosen):
        if option not in known:
            fields.fail(
                f'{where}.chosen[{n}]', f'{option!r:.60} is not among the options {options!r:.200}'
            )
    twice = [option for option, count in Counter(chosen).items() if count > 1]
    if twice:
        fields.fail(f'{where}.chosen', f'names {twice[0]!r:.60} twice')
    scores = fields.numbers(data, where, 'scores', len(options), 'options', or_null=True)
    decision = Decision(options, chosen, scores)
    unscored = known.intersection(chosen).difference(decision.scored) if scores else ()
    if unscored:
        fields.fail(f'{where}.scores', f'has null for {min(unscored)!r:.60}, which was chosen')
    return decision


def _check_spaces(heads: Mapping[str, Sequence[Decision]], fields: Fields) -> None:
    """Refuse unknown operations; the layers of a head have one space."""
    for head, decisions in heads.items():
        spaces = {decision.options for decision in decisions}
        if len(spaces) > 1:
            fields.fail(f'decisions.{head}', 'has layers of different options')
        try:
            check_space(next(iter(spaces)))
        except ValueError as error:
            fields.fail(f'decisions.{head}.0.op.options', str(error))


def _check_widths(
    genotype: Genotype, heads: Mapping[str, Sequence[Decision]], fields: Fields
) -> None:
    """Check the widths that were told, and that scores fit the candidates there."""
    told = fields.take(genotype.provenance, 'provenance', 'decided_at', dict, {})
    for head, rows in told.items():
        where = f'provenance.decided_at.{head:.60}'
        if head not in heads:
            fields.fail(where, f'is no head of the decisions; they are {list(heads)}')
        if not isinstance(rows, list) or len(rows) != len(heads[head]):
            fields.fail(where, f'must be a list of {len(heads[head])} layers, got {rows!r:.60}')
        for n, row in enumerate(rows):
            if not (isinstance(row, list) and len(row) == 3 and isinstance(row[2], bool)):
                fields.fail(f'{where}[{n}]', f'must be [in, out, is output], got {row!r:.60}')
            for width in row[:2]:
                if type(width) is not int or not 1 <= width <= MAX_WIDTH:
                    fields.fail(
                        f'{where}[{n}]', f'has a width not from 1 to {MAX_WIDTH}: {width!r:.60}'
                    )
            if n and rows[n - 1][1] != row[0]:
                fields.fail(
                    f'{where}[{n}]', f'takes {row[0]}, but layer {n - 1} gives {rows[n - 1][1]}'
                )
            if row[2] and n < len(rows) - 1:
                fields.fail(f'{where}[{n}]', 'is an output before the last layer')
            decision = heads[head][n]
            try:
                present = distinct_candidates(decision.options, LayerShape(*row))
            except (ValueError, RuntimeError) as error:
                fields.fail(f'{where}[{n}]', f'an operation does not take these widths: {error}')
            expected = [decision.options[position] for position in present]
            if decision.scores and list(decision.scored) != expected:
                fields.fail(
                    f'decisions.{head}.{n}.op.scores',
                    f'scores {list(decision.scored)}, but the candidates at these widths are '
                    f'{expected}',
                )


def _check_top(genotype: Genotype, fields: Fields) -> None:
    """Check how many options were chosen, and that a search's are those of the highest scores."""
    told = genotype.provenance
    top_k = fields.take(told, 'provenance', 'top_k', int, genotype.top_k)
    if top_k < 1:
        fields.fail('provenance.top_k', f'must be at least 1, got {top_k!r:.20}')
    for name, decision in genotype.decisions.items():
        where, scored = f'decisions.{name}.chosen', decision.scored
        if len(decision.chosen) > top_k:
            fields.fail(where, f'has {len(decision.chosen)} options, but provenance.top_k: {top_k}')
        if told.get('selection') != 'top_k' or not scored:
            continue
        lowest = min(scored[option] for option in decision.chosen)
        better = [o for o, score in scored.items() if score > lowest and o not in decision.chosen]
        if better:
            fields.fail(
                where,
                f'{list(decision.chosen)} is not the top of the scores, {better[0]!r} is higher; '
                'correct it, or remove the scores',
            )
        wanted = min(top_k, len(scored))
        if len(decision.chosen) != wanted:
            fields.fail(where, f'has {len(decision.chosen)} options; top_k takes {wanted} here')
