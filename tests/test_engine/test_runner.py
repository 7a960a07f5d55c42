# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A checkpoint whose state mmengine stumbles over is refused as one that does not fit."""

import pytest
from mmengine.runner import Runner

from nasiam_mm.engine.runner import NasiamRunner


@pytest.mark.parametrize('error', [AttributeError("'str' has no 'items'"), ZeroDivisionError('0')])
def test_a_state_that_cannot_be_taken_over_is_refused(error, monkeypatch):
    def resume(self, filename, *args, **kwargs):
        raise error

    monkeypatch.setattr(Runner, 'resume', resume)
    runner = NasiamRunner.__new__(NasiamRunner)
    told = rf"checkpoint 'a.pth' holds a state that does not fit this run: {type(error).__name__}: "
    with pytest.raises(ValueError, match=told):
        runner.resume('a.pth')
