# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Registry nodes of nasiam_mm, children of mmpretrain's nodes of the same names.

So ``default_scope = 'nasiam_mm'`` finds ours, mmpretrain's, mmcv's and mmengine's by bare names.
"""

from nasiam_mm.console.alarms import quiet_imports
from nasiam_mm.imports import absent, uncollected

# Several parts of mmpretrain import its models, and those mmdet, for a layer of detectors that
# nasiam_mm.detection adds where it is asked for.
with uncollected(), absent('mmdet'):
    quiet_imports()
    import mmpretrain.models  # noqa: F401
    import mmpretrain.registry as parent
    from mmengine.config.utils import MODULE2PACKAGE
    from mmengine.registry import Registry

# Builders of candidate operations; a user adds one by registering it here.
from nasiam_mm.ops.candidates import CANDIDATE_OPS  # noqa: F401

# Lets get_config and _base_ find our configs: 'nasiam_mm::nasiam/simsiam_r18_search_cifar10.py'.
MODULE2PACKAGE.setdefault('nasiam_mm', 'nasiam_mm')


def _child(node: str, theirs: str, *ours: str) -> Registry:
    """Open a node below mmpretrain's, whose parts lie in the packages named."""
    above = getattr(parent, node)
    # Imported on first use; mmpretrain's too, as a child does not import for its parent.
    locations = [f'mmpretrain.{theirs}', *(f'nasiam_mm.{place}' for place in ours)]
    return Registry(above.name, scope='nasiam_mm', parent=above, locations=locations)


HOOKS = _child('HOOKS', 'engine', 'engine', 'probes', 'search')
LOOPS = _child('LOOPS', 'engine', 'engine')
OPTIM_WRAPPERS = _child('OPTIM_WRAPPERS', 'engine', 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('OPTIM_WRAPPER_CONSTRUCTORS', 'engine', 'engine')
OPTIMIZERS = _child('OPTIMIZERS', 'engine', 'engine')
PARAM_SCHEDULERS = _child('PARAM_SCHEDULERS', 'engine', 'engine')
RUNNERS = _child('RUNNERS', 'engine', 'engine')
RUNNER_CONSTRUCTORS = _child('RUNNER_CONSTRUCTORS', 'engine', 'engine')
LOG_PROCESSORS = _child('LOG_PROCESSORS', 'engine', 'engine')
DATASETS = _child('DATASETS', 'datasets', 'datasets.registered')
DATA_SAMPLERS = _child('DATA_SAMPLERS', 'datasets', 'datasets.registered')
TRANSFORMS = _child('TRANSFORMS', 'datasets', 'datasets.registered')
MODELS = _child('MODELS', 'models', 'models')
MODEL_WRAPPERS = _child('MODEL_WRAPPERS', 'models', 'models')
WEIGHT_INITIALIZERS = _child('WEIGHT_INITIALIZERS', 'models', 'models')
TASK_UTILS = _child('TASK_UTILS', 'models', 'models')
METRICS = _child('METRICS', 'evaluation', 'evaluation')
EVALUATORS = _child('EVALUATORS', 'evaluation', 'evaluation')
VISUALIZERS = _child('VISUALIZERS', 'visualization', 'engine')
VISBACKENDS = _child('VISBACKENDS', 'visualization')
