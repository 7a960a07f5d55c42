# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Registries of this package's own kinds of part, which mmengine has no node for."""

from collections.abc import Mapping
from typing import Any

from mmengine.registry import Registry


class PartRegistry(Registry):
    """A registry that says what there is where a config names what there is not."""

    def build(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        """Build a part; ValueError for a name that nothing is registered under."""
        name = cfg.get('type') if isinstance(cfg, Mapping) else None
        if isinstance(name, str) and self.get(name) is None:
            there = ', '.join(sorted(self.module_dict))
            own = 'custom_imports names the module of your own'
            raise ValueError(f'there is no {self.name} {name!r}; take one of {there}, or {own}')
        return super().build(cfg, *args, **kwargs)


OWN_REGISTRIES: list[Registry] = []


def open_registry(name: str, location: str) -> PartRegistry:
    """Open a registry for a kind of part, whose own parts the package ``location`` imports.

    The settings of its parts in a config are checked as those of all others (:mod:`unread`).
    """
    registry = PartRegistry(name, scope='nasiam_mm', locations=[location])
    OWN_REGISTRIES.append(registry)
    return registry


def build_part(registry: Registry, config: Any, where: str, **defaults: Any) -> Any:
    """Build a part of a config; ValueError with ``where`` it stands unless that names one."""
    if not isinstance(config, dict) or not config.get('type'):
        example = f'dict(type={min(registry.module_dict)!r})' if registry.module_dict else 'a dict'
        raise ValueError(f'{where} must be a dict with a type, as {example}; got {config!r:.80}')
    return registry.build(dict(config, **defaults))


def build_parts(registry: Registry, configs: Any, where: str) -> list[Any]:
    """Build a list of parts of a config; ValueError with ``where`` it stands unless it is one."""
    if not isinstance(configs, (list, tuple)):
        raise ValueError(f'{where} must be a list of dicts, got {configs!r:.80}')
    return [build_part(registry, c, f'{where}[{n}]') for n, c in enumerate(configs)]
