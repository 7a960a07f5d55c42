# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What every study tries, noted once; and that a study there is this one."""

from collections.abc import Mapping

import optuna

from nasiam_mm.architecture.kinds.kind import Options
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.runs.identity import name_differences
from nasiam_mm.study import trials as notes
from nasiam_mm.study.heads import random_options, taken
from nasiam_mm.study.trainings import STANDARD, Trainings

_DECIDED, _PILOTS, _GIVEN = 'decided by', 'pilots', 'given'
_DRAWS = 1000  # of a head, after which a space is taken to hold no more
Heads = dict[str, Options | None]  # key -> options, None for the standard head's own config


def begin(study: optuna.Study, name: str, trainings: Trainings) -> None:
    """Queue the standard head, those given and the pilots, unless the study has begun before.

    Raises:
        ValueError: If the study there is another one, or a head given is none of the space.
    """
    here, section, choices = trainings.identity, trainings.study, trainings.choices
    given = {path: taken(load_genotype(path), choices) for path in section.candidates}
    if (there := study.user_attrs.get(_DECIDED)) is not None:
        if differences := name_differences(there, here):
            what = f'study {name!r} is another one: {differences}'
            raise ValueError(f'{what}; take another --study')
        there = study.user_attrs[_GIVEN]
        if late := [path for path, o in given.items() if trainings.key(o) not in there]:
            what = f'study {name!r} has begun without the candidate {late[0]}'
            raise ValueError(f'{what}; take another --study')
        return
    pilots: Heads = {}
    seed = section.seed
    # A space may hold fewer heads.
    while section.cheap and len(pilots) < section.pilot - 1 and seed < section.seed + _DRAWS:
        drawn = random_options(choices, seed)
        if (key := trainings.key(drawn)) != STANDARD:
            pilots[key] = drawn
        seed += 1
    first = {STANDARD, *pilots, *(trainings.key(options) for options in given.values())}
    if trainings.standard is None:
        first -= {STANDARD}
    if 0 < section.trials < len(first):
        what = f'study.trials is {section.trials}, and {len(first)} heads are to be tried at least'
        why = 'the standard one, pilots of cheap trainings and candidates given'
        raise ValueError(f'{what}: {why}; raise it')
    if section.trials:
        for source, heads in (
            (STANDARD, [trainings.standard]),
            ('pilot', list(pilots.values())),
            ('given', list(given.values())),
        ):
            for options in heads:
                if options is not None:
                    queue(study, trainings, source, options)
    if section.cheap:
        pilots[STANDARD] = trainings.standard
    study.set_user_attr(_PILOTS, pilots)
    study.set_user_attr(_GIVEN, {trainings.key(options): options for options in given.values()})
    study.set_user_attr(_DECIDED, here)


def queue(study: optuna.Study, trainings: Trainings, source: str, options: Options) -> None:
    """Queue a head as a trial, unless there is a trial of it."""
    key = trainings.key(options)
    if all(trial.key != key for trial in notes.read_trials(study)):
        attrs = {notes.SOURCE: source, notes.KEY: key}
        study.enqueue_trial(dict(options), user_attrs=attrs)


def pilots(study: optuna.Study) -> Heads:
    """Return the heads that are trained both cheaply and not."""
    return study.user_attrs[_PILOTS]


def given(study: optuna.Study) -> dict[str, Options]:
    """Return the heads that are compared though no trial measured them."""
    return study.user_attrs[_GIVEN]


def give(study: optuna.Study, trainings: Trainings, found: Mapping[str, Options]) -> None:
    """Add heads to those; name -> options."""
    more = {trainings.key(options): options for options in found.values()}
    study.set_user_attr(_GIVEN, {**more, **given(study)})
