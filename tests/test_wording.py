# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.

from nasiam_mm.wording import counted, no_such


def test_one_is_no_plural():
    assert counted(1, 'epoch') == '1 epoch' and counted(2, 'epoch') == '2 epochs'
    assert counted(0, 'trial') == '0 trials' and counted('1', 'minute') == '1 minute'
    assert counted('0.17', 'minute') == '0.17 minutes' and counted(2, 'class') == '2 classes'
    assert counted(3, 'batch') == '3 batches' and counted(3, 'process') == '3 processes'


def test_a_name_that_is_near_is_offered():
    known = ['byol', 'simclr', 'simsiam']
    told = "there is no framework 'simklr', but byol, simclr, simsiam"
    assert no_such('framework', 'simklr', known) == f'{told}; did you mean simclr?'
    assert no_such('framework', 'SimCLR', known).endswith('; did you mean simclr?')
    assert no_such('framework', 'dino', known) == told.replace('simklr', 'dino')
