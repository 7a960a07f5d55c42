# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Hooks whose state goes with the checkpoint (contract C6)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from mmengine.hooks import Hook
from mmengine.runner import Runner


class StatefulHook(Hook):
    """A hook that a resumed run takes up where it was.

    Its state stands in ``checkpoint['hooks']`` under the name of its class, a
    second one of a class as ``Name#2``. A resumed run needs it whole.

    Attributes:
        state_types: Name of each part of the state -> its type or types. The parts are attributes,
            unless a subclass says otherwise in ``state_dict`` and ``load_state_dict``.

    Raises:
        ValueError: On resuming, if the checkpoint lacks the state or a part of
            it, or a part is not of its type or does not fit this run.
    """

    state_types: ClassVar[dict[str, type | tuple[type, ...]]] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the state, of types that a checkpoint may hold."""
        return {name: getattr(self, name) for name in self.state_types}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take a state up again, whose parts are there and of their types."""
        for name in self.state_types:
            setattr(self, name, state[name])

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Put the state into the checkpoint."""
        checkpoint.setdefault('hooks', {})[self._name(runner)] = self.state_dict()

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the state up, if the run is resumed."""
        if not runner._resume:
            return
        name = self._name(runner)
        states = checkpoint.get('hooks')
        state = states.get(name) if isinstance(states, Mapping) else None
        if not isinstance(state, Mapping):
            raise ValueError(
                f'the checkpoint holds no state of {name}; resume from one of a run with this hook'
            )
        for part, kinds in self.state_types.items():
            if part not in state:
                raise ValueError(f'the state of {name} in the checkpoint lacks {part!r}')
            if not isinstance(state[part], kinds):
                raise ValueError(
                    f'the state of {name} in the checkpoint is damaged: {part} is of type '
                    f'{type(state[part]).__name__}'
                )
        try:
            self.load_state_dict(dict(state))
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f'the state of {name} in the checkpoint does not fit this run: '
                + ' '.join(str(error).split())
            ) from error

    def _name(self, runner: Runner) -> str:
        alike = [hook for hook in runner.hooks if type(hook) is type(self)]
        number = next((n for n, hook in enumerate(alike, 1) if hook is self), 1)
        return type(self).__name__ + (f'#{number}' if number > 1 else '')
