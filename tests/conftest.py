# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Shared test set-up: one thread, our scope, fresh global state per test."""

import pytest
import torch
from mmengine.registry import DefaultScope, init_default_scope

import nasiam_mm  # noqa: F401


@pytest.fixture(autouse=True)
def isolated_scope():
    """Pin threads, seed torch and make bare names resolve in our registries."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    DefaultScope._instance_dict.clear()
    init_default_scope('nasiam_mm')
    yield
    DefaultScope._instance_dict.clear()
