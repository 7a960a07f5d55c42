# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import threading

from nasiam_mm.datasets.download import folder_lock, remove_leftovers


def test_leftovers(tmp_path):
    for name in ('.a.x.tmp', 'kept.tmp', 'b.part', '.hidden', 'data.npy'):
        (tmp_path / name).write_bytes(b'')
    (tmp_path / '.c.y.tmp').mkdir()
    (tmp_path / '.c.y.tmp' / 'd').write_bytes(b'')
    remove_leftovers(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {'kept.tmp', 'b.part', '.hidden', 'data.npy'}
    remove_leftovers(tmp_path, downloads=True)
    assert {p.name for p in tmp_path.iterdir()} == {'kept.tmp', '.hidden', 'data.npy'}


def test_lock_lets_one_writer_in_at_a_time(tmp_path, capsys):
    events = []
    inside = threading.Event()

    def second():
        inside.wait()
        with folder_lock(tmp_path):
            events.append('second')

    thread = threading.Thread(target=second)
    thread.start()
    with folder_lock(tmp_path):
        inside.set()
        thread.join(0.3)
        assert thread.is_alive()
        events.append('first')
    thread.join(5)
    assert events == ['first', 'second']
    assert capsys.readouterr().out == (
        f'{tmp_path}: another process is writing here, waiting for it\n'
    )
    assert list(tmp_path.iterdir()) == []
