"""Files: written whole or not at all, named in one line, a folder for one command at a time."""

import errno
import fcntl
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from speechgru import files
from speechgru.errors import SpeechgruError, printable
from speechgru.files import atomic_write, exclusive_lock


def test_write_makes_folders_and_replaces_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    atomic_write(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    atomic_write(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(path.parent) == ["a.txt"]


def test_write_obeys_the_umask(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    atomic_write(tmp_path / "ours", b"")
    usual, ours = (stat.S_IMODE(os.stat(tmp_path / n).st_mode) for n in ("usual", "ours"))
    assert ours == usual


def test_write_follows_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    atomic_write(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "new"


@pytest.mark.parametrize("linked", [False, True])
def test_a_pipe_is_written_to_not_replaced(tmp_path: Path, linked: bool) -> None:
    """So is /dev/null, which a test had better not risk."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    (tmp_path / "link").symlink_to("pipe")
    try:
        atomic_write(tmp_path / "link" if linked else pipe, "é\n")
        assert os.read(reading, 99) == "é\n".encode()
    finally:
        os.close(reading)
    assert pipe.is_fifo()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_command_s_own_output_can_be_the_file() -> None:
    """Behind a pipe, /dev/stdout links to what no folder holds."""
    order = "from speechgru.files import atomic_write as write; write('/dev/stdout', 'one\\n')"
    done = subprocess.run([sys.executable, "-c", order], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("one\n", "")


def test_a_file_that_the_output_goes_to_keeps_what_was_printed(tmp_path: Path) -> None:
    order = (
        "from speechgru.files import atomic_write as write; print('one', flush=True); "
        "write('/dev/stdout', 'two\\n')"
    )
    with open(tmp_path / "told", "w") as told:
        subprocess.run([sys.executable, "-c", order], stdout=told, check=True)
    assert (tmp_path / "told").read_text() == "one\ntwo\n"


def test_an_ordinary_file_below_dev_is_replaced() -> None:
    """/dev/shm is a folder like any other."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for text in ("a long one\n", "new\n"):
            atomic_write(Path(folder, "a.txt"), text)
        assert Path(folder, "a.txt").read_text() == "new\n"
        assert os.listdir(folder) == ["a.txt"]


def test_a_folder_is_not_written_to(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        atomic_write(tmp_path, "")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, fault: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise fault

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(fault)):
        atomic_write(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a b/ü'$(x).wav", "a b/ü'$(x).wav"),
        ("two\nlines\t.wav", r"two\nlines\t.wav"),
        (os.fsdecode(b"caf\xe9.wav"), r"caf\udce9.wav"),
        ("\x1b[31mred", r"\x1b[31mred"),
        ("right\u202eleft", r"right\u202eleft"),
    ],
)
def test_shown_is_one_printable_line(path: str, expected: str) -> None:
    assert printable(path) == expected
    printable(path).encode("utf-8")


# One at a time -----------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from speechgru.files import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), "speechgru train"):
    print("in", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_for_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two processes; when the one is killed, the other may come in."""
    monkeypatch.setattr(files, "LOCK_PATIENCE", 0.0)
    folder = tmp_path / "new" / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"
        with pytest.raises(SpeechgruError) as caught, exclusive_lock(folder, "speechgru train"):
            pass
        assert str(caught.value) == (
            f"{folder}: another `speechgru train` is at work there; wait for it"
        )
        with exclusive_lock(tmp_path / "other", "speechgru train"):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    for _ in range(2):
        with exclusive_lock(folder, "speechgru train"):
            pass


def test_one_that_is_about_to_go_is_waited_for(tmp_path: Path) -> None:
    first = exclusive_lock(tmp_path, "speechgru train")
    first.__enter__()
    timer = threading.Timer(0.3, first.__exit__, (None, None, None))
    timer.start()
    with exclusive_lock(tmp_path, "speechgru train"):
        timer.join()


def test_where_there_are_no_locks_a_folder_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with exclusive_lock(tmp_path, "speechgru train"):
        pass


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("file", "expected a folder, found a file"),
        ("file/run", "cannot be written: Not a directory"),
        ("n" * 300, "cannot be written: File name too long"),
    ],
)
def test_a_folder_that_cannot_be_made_is_a_fault(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SpeechgruError) as caught,
        exclusive_lock(tmp_path / name, "speechgru train"),
    ):
        pass
    assert str(caught.value) == f"{tmp_path}/{name}: {reason}"
