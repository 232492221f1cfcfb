"""What is kept, and for how long."""

import fcntl
import tempfile

import numpy as np

from omniges.serve.limits import Limits
from omniges.serve.takes import PREFIX, TakeStore
from omniges.serve.uploads import clean_name

WAVE = np.zeros(16, np.float32)


def store(monkeypatch, tmp_path, **limits):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clock = [0.0]
    given = Limits(**{"upload_bytes": 10, "longest_s": 1.0, "keep_s": 60.0, "takes": 3} | limits)
    return TakeStore(given, clock=lambda: clock[0]), clock


def test_takes_go_when_nobody_asks_for_them_and_asking_keeps_them(monkeypatch, tmp_path):
    kept, clock = store(monkeypatch, tmp_path)
    one, other = kept.add("one", WAVE), kept.add("other", WAVE)
    one.folder.mkdir()
    (one.folder / "a.npz").write_bytes(b"x")
    clock[0] = 50.0
    assert kept.get(other.key) is other
    clock[0] = 61.0
    kept.sweep()
    assert kept.get(one.key) is None
    assert not one.folder.exists()
    assert kept.get(other.key) is other
    clock[0] = 122.0
    assert kept.get(other.key) is None
    kept.close()


def test_the_oldest_goes_where_there_are_too_many(monkeypatch, tmp_path):
    kept, clock = store(monkeypatch, tmp_path)
    keys = []
    for second in range(4):
        clock[0] = float(second)
        keys.append(kept.add(str(second), WAVE).key)
    assert [kept.get(key) is not None for key in keys] == [False, True, True, True]
    kept.remove(keys[1])
    assert kept.get(keys[1]) is None
    kept.close()


def test_a_server_leaves_nothing_and_clears_up_after_killed_ones_only(monkeypatch, tmp_path):
    dead, alive = tmp_path / f"{PREFIX}dead", tmp_path / f"{PREFIX}alive"
    for folder in (dead, alive):
        folder.mkdir()
        (folder / "lock").touch()
        (folder / "take.wav").touch()
    with (alive / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept, _ = store(monkeypatch, tmp_path)
        assert (dead.exists(), alive.exists()) == (False, True)
    assert kept.folder.stat().st_mode & 0o777 == 0o700
    kept.close()
    assert not kept.folder.exists()


def test_names_become_harmless():
    assert clean_name("../../etc/passwd.wav") == "passwd"
    assert clean_name("C:\\me\\a b;c.mp3") == "a-b-c"
    assert clean_name("..") == "speech"
    assert clean_name("Größe-2.ogg") == "Größe-2"
    assert clean_name('x"\r\nSet-Cookie: a.wav') == "x-Set-Cookie-a"
