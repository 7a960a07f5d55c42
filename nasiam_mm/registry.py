# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Registry nodes of nasiam_mm.

Every node is a child of mmpretrain's node of the same name, so that a config
with ``default_scope = 'nasiam_mm'`` finds our components, mmpretrain's, mmcv's
and mmengine's under their bare names. ``locations`` is imported on first use.
"""

import mmpretrain.registry as parent
from mmengine.registry import Registry

HOOKS = Registry('hook', parent=parent.HOOKS, locations=['nasiam_mm.engine'])
LOOPS = Registry('loop', parent=parent.LOOPS, locations=['nasiam_mm.engine'])
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper', parent=parent.OPTIM_WRAPPERS, locations=['nasiam_mm.engine']
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=parent.OPTIM_WRAPPER_CONSTRUCTORS,
    locations=['nasiam_mm.engine'],
)
OPTIMIZERS = Registry('optimizer', parent=parent.OPTIMIZERS, locations=['nasiam_mm.engine'])
PARAM_SCHEDULERS = Registry(
    'parameter scheduler', parent=parent.PARAM_SCHEDULERS, locations=['nasiam_mm.engine']
)
RUNNERS = Registry('runner', parent=parent.RUNNERS, locations=['nasiam_mm.engine'])
RUNNER_CONSTRUCTORS = Registry(
    'runner constructor', parent=parent.RUNNER_CONSTRUCTORS, locations=['nasiam_mm.engine']
)
LOG_PROCESSORS = Registry(
    'log processor', parent=parent.LOG_PROCESSORS, locations=['nasiam_mm.engine']
)

DATASETS = Registry('dataset', parent=parent.DATASETS, locations=['nasiam_mm.datasets'])
DATA_SAMPLERS = Registry(
    'data sampler', parent=parent.DATA_SAMPLERS, locations=['nasiam_mm.datasets']
)
TRANSFORMS = Registry('transform', parent=parent.TRANSFORMS, locations=['nasiam_mm.datasets'])

MODELS = Registry('model', parent=parent.MODELS, locations=['nasiam_mm.models'])
MODEL_WRAPPERS = Registry(
    'model wrapper', parent=parent.MODEL_WRAPPERS, locations=['nasiam_mm.models']
)
WEIGHT_INITIALIZERS = Registry(
    'weight initializer', parent=parent.WEIGHT_INITIALIZERS, locations=['nasiam_mm.models']
)
TASK_UTILS = Registry('task util', parent=parent.TASK_UTILS, locations=['nasiam_mm.models'])

METRICS = Registry('metric', parent=parent.METRICS, locations=['nasiam_mm.evaluation'])
EVALUATORS = Registry('evaluator', parent=parent.EVALUATORS, locations=['nasiam_mm.evaluation'])
VISUALIZERS = Registry(
    'visualizer', parent=parent.VISUALIZERS, locations=['nasiam_mm.visualization']
)
VISBACKENDS = Registry(
    'vis_backend', parent=parent.VISBACKENDS, locations=['nasiam_mm.visualization']
)

# Builders of candidate operations; a user adds one by registering it here.
CANDIDATE_OPS = Registry('candidate operation', locations=['nasiam_mm.space.ops'])
