# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Registry nodes of nasiam_mm.

Every node is a child of mmpretrain's node of the same name, so that a config
with ``default_scope = 'nasiam_mm'`` finds our components, mmpretrain's, mmcv's
and mmengine's under their bare names. ``locations`` are imported on first use;
mmpretrain's stand there too, as a child does not import for its parent.
"""

import mmpretrain.registry as parent
from mmengine.registry import Registry

# Builders of candidate operations; a user adds one by registering it here.
from nasiam_mm.space.ops import CANDIDATE_OPS  # noqa: F401

HOOKS = Registry('hook', parent=parent.HOOKS, locations=['mmpretrain.engine', 'nasiam_mm.engine'])
LOOPS = Registry('loop', parent=parent.LOOPS, locations=['mmpretrain.engine', 'nasiam_mm.engine'])
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper',
    parent=parent.OPTIM_WRAPPERS,
    locations=['mmpretrain.engine', 'nasiam_mm.engine'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=parent.OPTIM_WRAPPER_CONSTRUCTORS,
    locations=['mmpretrain.engine', 'nasiam_mm.engine'],
)
OPTIMIZERS = Registry(
    'optimizer', parent=parent.OPTIMIZERS, locations=['mmpretrain.engine', 'nasiam_mm.engine']
)
PARAM_SCHEDULERS = Registry(
    'parameter scheduler',
    parent=parent.PARAM_SCHEDULERS,
    locations=['mmpretrain.engine', 'nasiam_mm.engine'],
)
RUNNERS = Registry(
    'runner', parent=parent.RUNNERS, locations=['mmpretrain.engine', 'nasiam_mm.engine']
)
RUNNER_CONSTRUCTORS = Registry(
    'runner constructor',
    parent=parent.RUNNER_CONSTRUCTORS,
    locations=['mmpretrain.engine', 'nasiam_mm.engine'],
)
LOG_PROCESSORS = Registry(
    'log processor',
    parent=parent.LOG_PROCESSORS,
    locations=['mmpretrain.engine', 'nasiam_mm.engine'],
)

DATASETS = Registry(
    'dataset', parent=parent.DATASETS, locations=['mmpretrain.datasets', 'nasiam_mm.datasets']
)
DATA_SAMPLERS = Registry(
    'data sampler',
    parent=parent.DATA_SAMPLERS,
    locations=['mmpretrain.datasets', 'nasiam_mm.datasets'],
)
TRANSFORMS = Registry(
    'transform', parent=parent.TRANSFORMS, locations=['mmpretrain.datasets', 'nasiam_mm.datasets']
)

MODELS = Registry(
    'model', parent=parent.MODELS, locations=['mmpretrain.models', 'nasiam_mm.models']
)
MODEL_WRAPPERS = Registry(
    'model wrapper',
    parent=parent.MODEL_WRAPPERS,
    locations=['mmpretrain.models', 'nasiam_mm.models'],
)
WEIGHT_INITIALIZERS = Registry(
    'weight initializer',
    parent=parent.WEIGHT_INITIALIZERS,
    locations=['mmpretrain.models', 'nasiam_mm.models'],
)
TASK_UTILS = Registry(
    'task util', parent=parent.TASK_UTILS, locations=['mmpretrain.models', 'nasiam_mm.models']
)

METRICS = Registry(
    'metric', parent=parent.METRICS, locations=['mmpretrain.evaluation', 'nasiam_mm.evaluation']
)
EVALUATORS = Registry(
    'evaluator',
    parent=parent.EVALUATORS,
    locations=['mmpretrain.evaluation', 'nasiam_mm.evaluation'],
)
VISUALIZERS = Registry(
    'visualizer',
    parent=parent.VISUALIZERS,
    locations=['mmpretrain.visualization', 'nasiam_mm.visualization'],
)
VISBACKENDS = Registry(
    'vis_backend',
    parent=parent.VISBACKENDS,
    locations=['mmpretrain.visualization', 'nasiam_mm.visualization'],
)
