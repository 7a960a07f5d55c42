# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Settings of a config that nothing reads (contract C12): a typo must not pass for one."""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

import mmengine.registry as mmengine_registry
import torch
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper
from mmengine.registry import Registry
from mmengine.runner import EpochBasedTrainLoop, LogProcessor, Runner, TestLoop, ValLoop
from mmengine.runner.utils import set_random_seed
from mmengine.visualization import Visualizer
from torch.utils.data import DataLoader

from nasiam_mm.part_registry import OWN_REGISTRIES

# What the Runner looks up late, and what this package reads.
_LATE = {
    'runner_type', 'sync_bn', 'model_wrapper_cfg', 'find_unused_parameters', 'compile',
    'activation_checkpointing', 'efficient_conv_bn_eval', 'custom_imports', 'data', 'probe',
    'env_info', 'filename', 'study',
}  # fmt: skip
# Names at the top of a config that count.
RUNNER_SETTINGS = set(inspect.signature(Runner.__init__).parameters) - {'self', 'cfg'} | _LATE
# Settings that a builder takes before the part is built.
_BUILDERS = {'type', '_scope_', 'init_cfg'}
_BY_REGISTRY = {
    'optim_wrapper': {'constructor', 'paramwise_cfg'},
    'parameter scheduler': {'convert_to_iter_based', 'epoch_length'},
    'model': {'requires_grad'},  # of a normalisation, see mmcv.cnn.build_norm_layer
}
# Sections without a type: who reads them.
_READERS: dict[str, Any] = {
    'randomness': set_random_seed,
    'optim_wrapper': OptimWrapper,
    'train_cfg': EpochBasedTrainLoop,
    'val_cfg': ValLoop,
    'test_cfg': TestLoop,
    'log_processor': LogProcessor,
    'visualizer': Visualizer,
    'env_cfg': {
        *('cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'),
        'float32_matmul_precision',
    },
    'env_cfg.mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'env_cfg.dist_cfg': {'backend', 'init_backend', 'timeout', 'port', 'init_method'},
    'compile': torch.compile,
    'auto_scale_lr': {'base_batch_size', 'enable'},
    'custom_imports': {'imports', 'allow_failed_imports'},
    'data': {'root', 'resolved', 'skip_unreadable'},
    'optim_wrapper.clip_grad': {
        'type', 'max_norm', 'norm_type', 'error_if_nonfinite', 'clip_value', 'foreach',
    },
    'optim_wrapper.paramwise_cfg': {
        'custom_keys', 'flat_options', 'bias_lr_mult', 'bias_decay_mult', 'norm_decay_mult',
        'flat_decay_mult', 'dwconv_decay_mult', 'dcn_offset_lr_mult', 'bypass_duplicate',
    },
}  # fmt: skip
_SECTIONS = {
    *('model', 'data', 'probe', 'randomness', 'optim_wrapper', 'default_hooks', 'auto_scale_lr'),
    *('train_dataloader', 'val_dataloader', 'test_dataloader', 'train_cfg', 'val_cfg', 'test_cfg'),
    *('env_cfg', 'log_processor', 'visualizer', 'custom_imports', 'model_wrapper_cfg'),
}
_LOADER = {'dataset', 'num_batch_per_epoch'}


def find_unread(cfg: Mapping[str, Any], only: Collection[str] | None = None) -> list[str]:
    """Name the settings of a config that neither the runner nor a part that is built reads.

    A part reads the arguments of its constructor, and of those above it as long as each passes
    ``**kwargs`` on; anything where the last does too, unless the part ``takes_no_more``. Top-level
    names that begin with ``_`` are the config's own helpers.

    Args:
        cfg: The config, with all that it inherits.
        only: The top-level names that count; all by default.

    Returns:
        A line for each, with the nearest setting that counts.
    """
    if wrong := wrong_sections(cfg, only):
        return wrong
    cfg = getattr(cfg, '_cfg_dict', cfg)
    known = RUNNER_SETTINGS
    scope, told = cfg.get('default_scope') or 'mmengine', []
    for key, value in cfg.items():
        if key.startswith('_') or (only is not None and key not in only):
            continue
        if key == 'data_preprocessor' and 'data_preprocessor' in (cfg.get('model') or {}):
            told.append("nothing reads 'data_preprocessor'; set model.data_preprocessor")
        elif key not in known:
            told.append(f'nothing reads {key!r}; {_mend(key, known, cfg)}')
        else:
            pairs = [*_walk(value, key, scope)]
            if key == 'optim_wrapper' and isinstance(value, Mapping):
                pairs += _group_options(value, scope, _fixes_rates(cfg))
            told += [f'nothing reads {path!r}; {near}' for path, near in pairs]
    return told


def wrong_sections(cfg: Mapping[str, Any], only: Collection[str] | None = None) -> list[str]:
    """Name the sections of a config that hold a plain value, such as by an option ``model=3``."""
    names = sorted({*_SECTIONS, 'param_scheduler', 'custom_hooks'})
    found = {name: cfg.get(name) for name in names if only is None or name in only}
    return [
        f'{name} must be a {"dict" if name in _SECTIONS else "list"}, got {value!r:.80}; '
        f'set a part of it, as {name}.<key>=<value>'
        for name, value in found.items()
        if isinstance(value, (bool, int, float, str))
        or (isinstance(value, (list, tuple)) and name in _SECTIONS)
    ]


def _mend(key: str, known: set[str], cfg: Mapping[str, Any]) -> str:
    """Say what counts in place of a top-level name."""
    if near := get_close_matches(key, known, n=1, cutoff=0.8):
        return f'did you mean {near[0]}?'
    read = {name: value for name, value in cfg.items() if name in known}
    paths = sorted(_paths(read), key=len)
    names = {path.rsplit('.', 1)[-1]: path for path in reversed(paths)}  # the shortest stays
    if near := get_close_matches(key, names, n=1, cutoff=0.8):
        return f'set {names[near[0]]}'
    return f'a name that only helps to write the config begins with _, as _{key}'


def _paths(node: Any, path: str = '') -> Iterator[str]:
    """Yield the dotted names of all settings that are not top-level."""
    items = node.items() if isinstance(node, dict) else ()
    for key, value in items:
        if path:
            yield f'{path}.{key}'
        if not str(key).startswith('_'):
            yield from _paths(value, f'{path}.{key}'.lstrip('.'))


def _walk(node: Any, path: str, scope: str) -> Iterator[tuple[str, str]]:
    """Yield the dotted name of each setting that is not read, and what might be meant."""
    if isinstance(node, (list, tuple)):
        for number, item in enumerate(node):
            yield from _walk(item, f'{path}.{number}', scope)
    if not isinstance(node, dict):
        return
    scope = node.get('_scope_') or scope  # for what is below it too, as a builder has it
    known = _known(node, path, scope)
    for key, value in node.items():
        if known is None or key in known:
            yield from _walk(value, f'{path}.{key}', scope)
            continue
        near = get_close_matches(str(key), known, n=1)
        what = str(node.get('type', path)).rsplit('.', 1)[-1]
        shown = ', '.join(sorted(known - _BUILDERS)[:8])
        yield f'{path}.{key}', f'did you mean {near[0]}?' if near else f'{what} takes {shown}'


def _fixes_rates(cfg: Mapping[str, Any]) -> bool:
    """Tell whether a hook reads which groups keep their rate."""
    hooks = [*(cfg.get('default_hooks') or {}).values(), *(cfg.get('custom_hooks') or [])]
    kinds = [str(hook.get('type')) for hook in hooks if isinstance(hook, Mapping)]
    return any(kind.rsplit('.', 1)[-1] in ('FixedLrHook', 'SimSiamHook') for kind in kinds)


def _group_options(wrapper: Mapping, scope: str, fixes: bool) -> Iterator[tuple[str, str]]:
    """Yield the options of groups of parameters that the optimizer does not read."""
    optimizer, paramwise = wrapper.get('optimizer') or {}, wrapper.get('paramwise_cfg') or {}
    known = _known(optimizer, 'optim_wrapper.optimizer', scope) if 'type' in optimizer else None
    if known is None:
        return
    kind = optimizer['type']
    parts = [part for _, part in _registered(kind, scope)] if isinstance(kind, str) else [kind]
    known |= {'lr_mult', 'decay_mult'}.union(*map(_constants, parts))
    known |= {'fix_lr'} if fixes else set()
    groups = {f'custom_keys.{k}': v for k, v in (paramwise.get('custom_keys') or {}).items()}
    for name, options in {**groups, 'flat_options': paramwise.get('flat_options')}.items():
        for key in (options or {}).keys() - known:
            near = get_close_matches(key, known, n=1)
            mend = f'did you mean {near[0]}?' if near else 'neither the optimizer nor a hook has it'
            if key == 'fix_lr':
                mend = "add default_hooks.predictor_lr=dict(type='FixedLrHook')"
            yield f'optim_wrapper.paramwise_cfg.{name}.{key}', mend


def _constants(part: type) -> set[str]:
    """Return the texts in the code of a class: an optimizer may read more than it is given."""
    methods = (
        inspect.unwrap(m) for c in part.__mro__[:-2] for m in vars(c).values() if callable(m)
    )
    codes = (getattr(method, '__code__', None) for method in methods)
    return {text for code in codes if code for text in code.co_consts if isinstance(text, str)}


def _known(node: Mapping, path: str, scope: str) -> set[str] | None:
    """Return the names that are read of a dict; None where any may be."""
    kind = node.get('type')
    if path == 'optim_wrapper' and not _is_stock(node.get('constructor'), scope):
        return None  # such as one of several optimizers
    if kind is None or isinstance(_READERS.get(path), set):
        if 'dataset' in node and {'batch_size', 'batch_sampler'} & node.keys():
            return _accepted(DataLoader) | _LOADER  # type: ignore[operator]
        reader = _READERS.get(path)
        names = reader if reader is None or isinstance(reader, set) else _accepted(reader)
        return names if names is None else names | _BUILDERS | _BY_REGISTRY.get(path, set())
    found = [('', kind)] if not isinstance(kind, str) else _registered(kind, scope)
    names = set(_BUILDERS)
    for registry, part in found:
        accepted = _accepted(part)
        if accepted is None:
            return None
        names |= accepted | _BY_REGISTRY.get(registry, set())
    return names if found else None  # an unknown type is refused where it is built


def _is_stock(constructor: Any, scope: str) -> bool:
    """Tell whether a constructor of optimizers reads what mmengine's does."""
    if constructor is None:
        return True
    found = _registered(constructor, scope) if isinstance(constructor, str) else [('', constructor)]
    return any(issubclass(part, DefaultOptimWrapperConstructor) for _, part in found)


@lru_cache(maxsize=4096)
def _registered(kind: str, scope: str) -> tuple[tuple[str, Any], ...]:
    """Return what is registered under a name, with the name of each registry."""
    roots = {r.name: r for r in vars(mmengine_registry).values() if isinstance(r, Registry)}
    registries = {name: _child(root, scope) for name, root in roots.items()}
    # An empty one counts as false, and is filled by its first look-up.
    found = [
        (name, (roots[name] if registry is None else registry).get(kind))
        for name, registry in registries.items()
    ]
    found += [(registry.name, registry.get(kind)) for registry in OWN_REGISTRIES]
    return tuple((name, part) for name, part in found if callable(part))


def _child(registry: Registry, scope: str) -> Registry | None:
    """Return the registry of a scope at or below one."""
    if registry.scope == scope:
        return registry
    below = (_child(child, scope) for child in registry.children.values())
    return next((child for child in below if child is not None), None)


@lru_cache(maxsize=4096)
def _accepted(part: Callable) -> set[str] | None:
    """Return the names of the arguments of a class or function; None where any may be given."""
    makers = [part]
    if inspect.isclass(part):
        makers = [vars(c)['__init__'] for c in part.__mro__[:-1] if '__init__' in vars(c)]
    names: set[str] = set()
    for maker in makers:
        parameters = inspect.signature(maker).parameters.values()
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names - {'self'}
    is_open = makers and not getattr(part, 'takes_no_more', False)
    return None if is_open else names - {'self'}
