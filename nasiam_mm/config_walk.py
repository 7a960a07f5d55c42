# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Finding parts of a config, wherever they stand in it."""

from collections.abc import Iterator, Mapping
from typing import Any

# Named hooks that decide no result: what is logged, saved, measured and laid out.
_BESIDE_THE_RESULT = {
    'runtime_info', 'timer', 'logger', 'checkpoint', 'resume', 'run_state', 'memory_format',
    'probe', 'visualization',
}  # fmt: skip
# Such a hook, and how the settings begin by which it decides one after all.
_UNLESS_SET = {'health': ('max_', 'min_')}


def walk(node: Any) -> Iterator[dict]:
    """Yield every dict of a nested config, the outermost first."""
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from walk(child)


def type_name(part: Mapping) -> str | None:
    """Return the ``type`` of a config without its scope: ``'nasiam_mm.SimSiam'`` is a SimSiam."""
    kind = part.get('type')
    return kind.rsplit('.', 1)[-1] if isinstance(kind, str) else getattr(kind, '__name__', None)


def find_hook(cfg: Mapping, kind: str) -> dict | None:
    """Return the config of the first hook of a type, named or listed, or None."""
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    # A hook may be an object already, or None where a config takes one away.
    return next((h for h in hooks if isinstance(h, dict) and type_name(h) == kind), None)


def deciding_hooks(default_hooks: Mapping | None) -> dict:
    """Return the named hooks of a config less those that decide no result."""
    return {name: hook for name, hook in (default_hooks or {}).items() if _decides(name, hook)}


def _decides(name: str, hook: Any) -> bool:
    if name not in _UNLESS_SET:
        return name not in _BESIDE_THE_RESULT
    settings = hook.items() if isinstance(hook, Mapping) else ()
    return any(value is not None for key, value in settings if key.startswith(_UNLESS_SET[name]))
