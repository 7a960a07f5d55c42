# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Registries of this package's own kinds of part, which mmengine has no node for."""

from mmengine.registry import Registry

OWN_REGISTRIES: list[Registry] = []


def open_registry(name: str, location: str) -> Registry:
    """Open a registry for a kind of part, whose own parts the package ``location`` imports.

    The settings of its parts in a config are checked as those of all others (:mod:`unread`).
    """
    registry = Registry(name, scope='nasiam_mm', locations=[location])
    OWN_REGISTRIES.append(registry)
    return registry
