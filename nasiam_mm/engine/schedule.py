# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The length of a run stands in ``train_cfg`` alone (contract C12)."""

from collections.abc import Mapping
from typing import Any

from nasiam_mm.config_walk import type_name


def check_schedules(cfg: Mapping[str, Any]) -> list[str]:
    """Name the cosines of a config that do not fit the length of its run.

    One that names neither ``T_max`` nor ``end`` always does: mmengine lets it end with the run.
    """
    loop, found = cfg.get('train_cfg') or {}, cfg.get('param_scheduler') or []
    schedulers = [found] if isinstance(found, dict) else list(found)
    begins = {s.get('begin', 0) for s in schedulers if isinstance(s, dict)}
    problems = []
    for scheduler in schedulers:
        kind = str(type_name(scheduler)) if isinstance(scheduler, dict) else ''
        if not kind.startswith('CosineAnnealing') or scheduler.get('end') is not None:
            continue
        unit = 'epochs' if scheduler.get('by_epoch', True) else 'iters'
        length, begin = loop.get(f'max_{unit}'), scheduler.get('begin', 0)
        over = begin + (scheduler.get('T_max') or 0)
        if length is None:
            continue
        if begin >= length:
            lower = [f'param_scheduler.{schedulers.index(scheduler)}.begin']
            lower += [
                f'param_scheduler.{n}.end'
                for n, other in enumerate(schedulers)
                if isinstance(other, dict) and other.get('end') == begin
            ]
            mend = f'give {" and ".join(lower)} a number below it'
            if len(lower) > 1 and length < 2:  # what ends with 0 never begins
                mend = f'make that 2 and give {" and ".join(lower)} 1'
            problems.append(f'{kind} begins at {begin}, train_cfg.max_{unit} is {length}; {mend}')
        elif begin < over < length and over not in begins:
            problems.append(
                f'{kind} is over at {over} of train_cfg.max_{unit} {length}, and the rate would '
                'climb again; leave T_max out: it then ends with the run'
            )
    return problems
