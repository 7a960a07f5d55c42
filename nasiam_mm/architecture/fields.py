# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Fields of a JSON document, taken with a check and a message that names the place."""

import json
import math
import sys
from typing import Any, NoReturn

from nasiam_mm.architecture.genotype import GenotypeError

_KIND = {
    dict: 'an object',
    list: 'a list',
    str: 'a string',
    bool: 'true or false',
    int: 'an integer',
}


class Fields:
    """Take fields of nested objects; each refusal is one line with source and place."""

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, where: str, what: str) -> NoReturn:
        """Refuse the document.

        Raises:
            GenotypeError: Always.
        """
        place = f', {where:.120}' if where else ''
        text = what if len(what) <= 300 else f'{what[:297]}...'
        # Names of the file, and errors of operations, may hold line breaks.
        line = ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in f'{place}: {text}')
        raise GenotypeError(f"genotype '{self.source}'{line}")

    def take(self, data: Any, where: str, key: str, kind: type, default: Any = ...) -> Any:
        """Return the value of a key, which must be of a kind."""
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
        """Refuse keys that nobody reads."""
        unknown = sorted(set(data) - known)
        if unknown:
            self.fail(where, f'unknown key {unknown[0]!r:.60}; known are {sorted(known)}')

    def strings(self, data: dict, where: str, key: str, default: Any = ...) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self.take(data, where, key, list, default)
        for n, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f'{where}.{key}[{n}]'.lstrip('.'), f'must be a string, got {value!r:.60}')
        return tuple(values)

    def numbers(
        self, data: dict, where: str, key: str, length: int, what: str, or_null: bool = False
    ) -> tuple[float | None, ...]:
        """Return a list of finite numbers, one for each of ``what``; empty where it is absent."""
        values = self.take(data, where, key, list, [])
        for n, value in enumerate(values):
            if value is None and or_null:
                continue
            if not isinstance(value, (int, float)) or isinstance(value, bool):
                self.fail(f'{where}.{key}[{n}]', f'must be a number, got {value!r:.60}')
            # An integer beyond the range of a float is as useless as an infinity.
            if abs(value) > sys.float_info.max or math.isnan(value):
                self.fail(f'{where}.{key}[{n}]', f'must be finite, got {value!r:.60}')
        if values and len(values) != length:
            self.fail(f'{where}.{key}', f'has {len(values)} values for {length} {what}')
        return tuple(None if value is None else float(value) for value in values)


def parse_json(text: str, fields: Fields) -> dict:
    """Parse a JSON object strictly: no key twice, no NaN, no endless nesting."""

    def no_repeats(pairs: list[tuple[str, Any]]) -> dict:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                fields.fail('', f'key {key!r:.60} stands twice in one object')
            found[key] = value
        return found

    def no_constant(name: str) -> NoReturn:
        fields.fail('', f'holds {name}, which is not JSON; numbers must be finite')

    try:
        data = json.loads(text, object_pairs_hook=no_repeats, parse_constant=no_constant)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith('Genotype('):
            fields.fail(
                '', "is the authors' text form; convert it with 'nasiam genotype import' first"
            )
        fields.fail(f'line {error.lineno}', f'is not JSON: {error.msg}')
    except RecursionError:
        fields.fail('', 'is nested too deeply to be a genotype')
    except GenotypeError:
        raise
    except ValueError as error:
        # Python refuses to convert integers of thousands of digits.
        fields.fail('', f'is not JSON for a genotype: {error}')
    if not isinstance(data, dict):
        fields.fail('', f'must be an object, got {type(data).__name__}')
    return data
