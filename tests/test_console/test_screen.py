# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Lines, terms, alarms: what reaches the console and what the log alone."""

import io
import logging
import sys

import pytest
from mmengine.logging import MMLogger
from torch import nn

from nasiam_mm.console.alarms import is_alarm, no_alarms, quiet_imports
from nasiam_mm.console.handler import SHOWN, prints_go_to_the_log, take_over
from nasiam_mm.console.screen import Console, current, say, short_console
from nasiam_mm.console.terms import FIGURES, told_figures
from nasiam_mm.engine.runner import NasiamRunner


@pytest.fixture
def logger(tmp_path):
    yield MMLogger.get_instance('console', log_file=str(tmp_path / 'a.log'))
    MMLogger._instance_dict.clear()


def test_the_console_gets_warnings_and_what_is_marked_the_file_all(logger, tmp_path, capsys):
    take_over(logger, Console())
    alarm = '"FileClient" will be deprecated in future. Please use io functions in ...'
    logger.info('a detail')
    logger.info('marked', extra=SHOWN)
    logger.warning('careful')
    logger.warning('careful')
    logger.warning(alarm)
    logger.error('broken')
    assert capsys.readouterr().out.splitlines() == ['marked', 'warning: careful', 'error: broken']
    told = (tmp_path / 'a.log').read_text()
    for text in ('a detail', 'marked', 'careful', alarm, 'broken'):
        assert text in told


def test_another_process_than_the_first_shows_errors_alone(logger, capsys):
    logger.handlers[0].setLevel(logging.ERROR)  # as mmengine has it there
    take_over(logger, Console())
    logger.warning('careful')
    logger.info('marked', extra=SHOWN)
    logger.error('broken')
    assert capsys.readouterr().out == 'error: broken\n'


def test_prints_of_a_library_go_to_the_log(logger, tmp_path, capsys):
    handlers = list(logger.handlers)
    with short_console(), prints_go_to_the_log():
        print('creating index...\n\nhalf', end='')
        print(' a line')
        say('ours')
    assert capsys.readouterr().out == 'ours\n'
    lines = (tmp_path / 'a.log').read_text().splitlines()
    assert [line.partition('INFO - ')[2] for line in lines] == ['creating index...', 'half a line']
    assert logger.handlers == handlers
    with prints_go_to_the_log():  # no console is short
        print('seen')
    assert capsys.readouterr().out == 'seen\n'


def test_what_mmengine_prints_of_first_weights_goes_to_the_log(logger, tmp_path, capsys):
    class Prints(nn.Module):
        def init_weights(self):
            print('Loads checkpoint by ...')

    runner = object.__new__(NasiamRunner)
    runner.model = Prints()
    with short_console():
        runner._init_model_weights()
    assert capsys.readouterr().out == ''
    assert 'INFO - Loads checkpoint' in (tmp_path / 'a.log').read_text()


def test_verbose_is_no_console(monkeypatch):
    assert current() is None
    with short_console(verbose=True):
        assert current() is None
    with short_console() as outer, short_console() as inner:
        assert current() is inner is not outer
    assert current() is None
    for value, is_verbose in (('1', True), ('0', False), ('', False)):
        monkeypatch.setenv('NASIAM_VERBOSE', value)
        with short_console() as console:
            assert (console is None) == is_verbose


def test_a_term_is_explained_once_and_a_word_not_at_all(capsys):
    console = Console()
    console.explain(['loss', 'margin', 'nothing'])
    console.explain(['margin', 'kNN'])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith('  margin: ') and second.startswith('  kNN: ')


def test_measures_of_the_package_are_explained_too(capsys):
    console = Console(bar=False)
    console.explain(['rankme', 'mine'])
    console.explain(['rankme', 'linear'])
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith('  rankme: about how many directions')
    assert second.startswith('  linear: the share of held-out images')


def test_a_full_disk_or_a_reader_that_has_gone_stops_nothing(monkeypatch):
    class Gone(io.StringIO):
        def write(self, text):
            raise BrokenPipeError

    monkeypatch.setattr(sys, 'stdout', Gone())
    Console().say('a line')


def test_figures_are_found_by_any_of_their_names():
    scalars = {'loss': 2.0, 'alpha/projector/0/margin': 0.1, 'alpha/projector/1/margin': 0.3}
    assert told_figures(scalars) == {'loss': '2.000', 'margin': '0.2000'}
    assert told_figures({**scalars, 'health/margin': 0.5})['margin'] == '0.5000'
    assert told_figures({'loss': 3.78})['loss'] == '3.780'
    assert told_figures({'loss': 1234.0})['loss'] == '1234'
    assert told_figures({'knn/test_top1': 33.333, 'measure/rankme': 12.3456}) == {
        'kNN': '33.33 %',
        'rankme': '12.35',
    }
    measured = {'measure/linear': 61.234, 'measure/mine': 0.123456}
    assert told_figures(measured) == {'linear': '61.23 %', 'mine': '0.1235'}
    assert told_figures({'loss': 1.0, 'data_wait': 3.0}, ['data wait']) == {'data wait': '3.0 %'}
    assert len({figure.name for figure in FIGURES}) == len(FIGURES)


def test_an_import_says_nothing_of_what_is_absent(monkeypatch, capsys):
    import mmengine.logging as library

    calls = []
    monkeypatch.setattr(library, 'print_log', lambda *given: calls.append(given))
    quiet_imports()
    quiet_imports()
    library.print_log('Could not import OneDL', level=logging.DEBUG)
    library.print_log('Could not import OneDL. Skipping OneDL datasets.', level=logging.DEBUG)
    assert not calls
    library.print_log('another', level=logging.DEBUG)
    library.print_log('Could not import OneDL', 'current')  # a log is no console
    assert calls == [('another', None, 10), ('Could not import OneDL', 'current', 20)]


def test_alarms_of_an_import_are_left_out_and_no_other(logger):
    lines = []
    logger.handlers[0].emit = lambda record: lines.append(record.getMessage())
    assert is_alarm('Line NMS is not compiled. Most likely') and not is_alarm('Line')
    with no_alarms():
        logger.warning('Line NMS is not compiled. Most likely when installing the package')
        logger.warning('another')
    logger.warning('Line NMS is not compiled. Now')
    assert lines == ['another', 'Line NMS is not compiled. Now']
