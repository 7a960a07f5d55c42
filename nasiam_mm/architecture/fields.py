# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Fields of a JSON document, taken with a check and a message that names the place."""

import json
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from nasiam_mm.architecture.genotype import GenotypeError

_KIND = {dict: 'an object', list: 'a list', str: 'a string', bool: 'true or false'}


def refuse(source: str, where: str, what: str) -> NoReturn:
    """Raise GenotypeError: one line with the source, the place in it and the fault."""
    place = f', {where:.120}' if where else ''
    text = what if len(what) <= 300 else f'{what[:297]}...'
    # Names of the file, and errors of operations, may hold line breaks.
    line = ''.join(c if c.isprintable() else ascii(c)[1:-1] for c in f'{place}: {text}')
    raise GenotypeError(f"genotype '{source}'{line}")


class Fields:
    """An object of a document at a place, with no keys but the known ones if they are given."""

    def __init__(self, source: str, where: str, data: Any, known: set[str] | None = None) -> None:
        self.source, self.where, self.data = source, where, data
        if not isinstance(data, dict):
            self.fail('', f'must be an object, got {data!r:.60}')
        if known and (unknown := sorted(set(data) - known)):
            self.fail('', f'unknown key {unknown[0]!r:.60}; known are {sorted(known)}')

    def fail(self, where: str, what: str) -> NoReturn:
        """Refuse the document for what stands at a place within this object."""
        refuse(self.source, '.'.join(filter(None, (self.where, where))), what)

    def take(self, key: str, kind: type, default: Any = ...) -> Any:
        """Return the value of a key, which must be of a kind."""
        if key not in self.data:
            if default is ...:
                self.fail('', f'{key!r} is missing')
            return default
        value = self.data[key]
        # Not isinstance: bool is an int in Python, but not in JSON.
        if type(value) is not kind:
            self.fail(key, f'must be {_KIND.get(kind, "an integer")}, got {value!r:.60}')
        return value

    def strings(self, key: str, default: Any = ...) -> tuple[str, ...]:
        """Return a list of strings."""
        values = self.take(key, list, default)
        for n, value in enumerate(values):
            if not isinstance(value, str):
                self.fail(f'{key}[{n}]', f'must be a string, got {value!r:.60}')
        return tuple(values)

    def checked(self, key: str, check: Callable[[list], tuple]) -> tuple:
        """Return a list as a check gives it, whose ValueError says what is wrong."""
        values = self.take(key, list)
        try:
            return check(values)
        except ValueError as error:
            self.fail(key, str(error))

    def numbers(self, key: str, length: int, what: str, or_null: bool = False) -> tuple:
        """Return a list of finite floats, one for each of ``what``; empty where it is absent."""
        values = self.take(key, list, [])
        for n, value in enumerate(values):
            if value is None and or_null:
                continue
            if type(value) not in (int, float):
                self.fail(f'{key}[{n}]', f'must be a number, got {value!r:.60}')
            # An integer beyond the range of a float is as useless as an infinity.
            if not abs(value) <= sys.float_info.max:
                self.fail(f'{key}[{n}]', f'must be finite, got {value!r:.60}')
        if values and len(values) != length:
            self.fail(key, f'has {len(values)} values for {length} {what}')
        return tuple(None if value is None else float(value) for value in values)


def parse_json(text: str, source: str) -> dict:
    """Parse a JSON object strictly: no key twice, no NaN, no endless nesting."""

    def no_repeats(pairs: list[tuple[str, Any]]) -> dict:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                refuse(source, '', f'key {key!r:.60} stands twice in one object')
            found[key] = value
        return found

    def no_constant(name: str) -> NoReturn:
        refuse(source, '', f'holds {name}, which is not JSON; numbers must be finite')

    try:
        data = json.loads(text, object_pairs_hook=no_repeats, parse_constant=no_constant)
    except GenotypeError:
        raise
    except json.JSONDecodeError as error:
        if text.lstrip().startswith('Genotype('):
            mend = "convert it with 'nasiam genotype import' first"
            refuse(source, '', f"is the authors' text form; {mend}")
        refuse(source, f'line {error.lineno}', f'is not JSON: {error.msg}')
    except RecursionError:
        refuse(source, '', 'is nested too deeply to be a genotype')
    except ValueError as error:
        # Python refuses to convert integers of thousands of digits.
        refuse(source, '', f'is not JSON for a genotype: {error}')
    if not isinstance(data, dict):
        refuse(source, '', f'must be an object, got {type(data).__name__}')
    return data
