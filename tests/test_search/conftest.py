# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Searches that have ended, for what is chosen at the end."""

import copy

import pytest


@pytest.fixture(scope='session')
def ended(tmp_path_factory):
    """Give the runner of a short search of a framework, or it with another model in its place.

    Each framework is searched once: a selection leaves the run as it was.
    """
    from mmengine.logging import MessageHub

    from tests.small import build, search, train

    runners = {}

    def of(framework, **changes):
        if framework not in runners:
            cfg = search(framework, tmp_path_factory.mktemp(framework))
            cfg.default_hooks.pop('genotype')
            shorten(cfg)
            runners[framework] = train(cfg)
        runner = copy.copy(runners[framework])
        # Averages of BYOL ask the latest run for its length; other tests have begun some since.
        MessageHub._instance_dict.clear()
        MessageHub._instance_dict[runner.experiment_name] = runner.message_hub
        if changes:
            preprocessor = runner.cfg.model.data_preprocessor
            runner.model = build(framework, data_preprocessor=preprocessor, **changes)
        return runner

    return of


def shorten(cfg):
    """Leave a weight part of 100 images and a held-out part of 150."""
    alpha = cfg.default_hooks.alpha_step.dataloader
    for loader in (cfg.train_dataloader, alpha, cfg.probe.bank, cfg.probe.query):
        part = loader.dataset
        while 'parts' not in part:
            part = part.dataset
        part.parts = dict(weights=0.2, alpha=0.3)
