"""Atomic writes, JSON files, folder locks, and searching folders."""

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import filelock
import pytest

from speechgru import files
from speechgru.errors import ManifestError, SpeechgruError, printable
from speechgru.files import (
    atomic_write,
    exclusive_lock,
    files_below,
    read_json,
    write_json,
)
from speechgru.misspelt import similar_path

# Writing -----------------------------------------------------------------------------------------


def test_write_creates_folders_and_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    atomic_write(path, "é\n")
    assert path.read_bytes() == "é\n".encode()
    atomic_write(path, b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert os.listdir(path.parent) == ["a.txt"]


def test_what_utf_8_cannot_encode_is_escaped(tmp_path: Path) -> None:
    name = os.fsdecode(b"\\caf\xe9 \xc3\xa9") if os.name == "posix" else "\\caf\udce9 é"
    write_json(tmp_path / "a.json", {"file": name})
    assert read_json(tmp_path / "a.json", "a file") == {"file": name}
    atomic_write(tmp_path / "a.html", name)
    assert (tmp_path / "a.html").read_text(encoding="utf-8") == "\\caf\\udce9 é"


def test_write_respects_the_umask(tmp_path: Path) -> None:
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


def test_a_pipe_is_neither_written_to_nor_replaced(tmp_path: Path) -> None:
    """Nor is a device: replacing /dev/null with a file would break the machine."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        with pytest.raises(ManifestError, match=name):
            atomic_write(tmp_path / name, "text", ManifestError)
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(os.listdir(tmp_path)) == ["link", "pipe"]


def test_a_file_below_dev_is_replaced() -> None:
    """/dev/shm is a folder like any other."""
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("there is no /dev/shm here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for text in ("a long one\n", "new\n"):
            atomic_write(Path(folder, "a.txt"), text)
        assert Path(folder, "a.txt").read_text() == "new\n"
        assert os.listdir(folder) == ["a.txt"]


@pytest.mark.parametrize("name", ["", "file/a.txt", "n" * 300, "a\0b"])
def test_what_cannot_be_written_raises_the_given_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ManifestError) as caught:
        atomic_write(tmp_path / name, "", ManifestError)
    assert printable(tmp_path / name) in str(caught.value)
    with pytest.raises(SpeechgruError):
        write_json(tmp_path / name, {})
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, failure: BaseException
) -> None:
    def fail(*_: object) -> None:
        raise failure

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises((ManifestError, KeyboardInterrupt)) as caught:
        atomic_write(path, "new", ManifestError)
    monkeypatch.undo()
    assert isinstance(caught.value, KeyboardInterrupt) or failure.strerror in str(caught.value)  # type: ignore[attr-defined]
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


# Reading JSON ------------------------------------------------------------------------------------


def test_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    values = {"é": [1, None, "two\nlines"]}
    write_json(tmp_path / "a.json", values)
    assert read_json(tmp_path / "a.json", "a result") == values


@pytest.mark.parametrize(
    "content", [None, b"", b"[1]", b"{", b'{"a": "\xe9"}', b"[" * 100_000, b"9" * 5000]
)
def test_what_is_not_a_json_object_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpeechgruError) as caught:
        read_json(path, "a comparison plan")
    assert str(path) in str(caught.value)
    assert "a comparison plan" in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 200


def test_a_folder_is_not_read_as_json(tmp_path: Path) -> None:
    with pytest.raises(SpeechgruError):
        read_json(tmp_path, "a result")


# Names -------------------------------------------------------------------------------------------


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
def test_printable_is_one_line_without_control_characters(path: str, expected: str) -> None:
    assert printable(path) == expected
    printable(path).encode("utf-8")
    assert str(SpeechgruError(path)) == expected


# Searching ---------------------------------------------------------------------------------------


def test_a_search_is_sorted_and_visits_a_linked_folder_once(tmp_path: Path) -> None:
    for name in ("b/2", "b/1", "a/3"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "loop").symlink_to("..")
    found = [str(p.relative_to(tmp_path)) for p in files_below(tmp_path, pytest.fail)]
    assert found == ["a/3", "b/1", "b/2"]


# Locks -------------------------------------------------------------------------------------------

HOLDER = """
import sys, time
from pathlib import Path
from speechgru.files import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), "speechgru train"):
    print("in", flush=True)
    time.sleep(60)
"""


def test_one_process_at_a_time_has_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the process is killed, its lock is free."""
    monkeypatch.setattr(files, "LOCK_TIMEOUT", 0.0)
    folder = tmp_path / "new" / "run"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, folder], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"in\n"
        with pytest.raises(SpeechgruError) as caught, exclusive_lock(folder, "speechgru train"):
            pass
        assert str(folder) in str(caught.value)
        assert "`speechgru train`" in str(caught.value)
        with exclusive_lock(tmp_path / "other", "speechgru train"):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    for _ in range(2):
        with exclusive_lock(folder, "speechgru train"):
            pass


def test_a_lock_that_is_soon_released_is_waited_for(tmp_path: Path) -> None:
    first = exclusive_lock(tmp_path, "speechgru train")
    first.__enter__()
    timer = threading.Timer(0.3, first.__exit__, (None, None, None))
    timer.start()
    with exclusive_lock(tmp_path, "speechgru train"):
        timer.join()


def test_a_file_system_without_locks_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(filelock.FileLock, "_acquire", no_locks)
    with exclusive_lock(tmp_path, "speechgru train"):
        pass


@pytest.mark.parametrize("name", ["file", "file/run", "n" * 300])
def test_a_folder_that_cannot_be_created_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(SpeechgruError) as caught,
        exclusive_lock(tmp_path / name, "speechgru train"),
    ):
        pass
    assert str(tmp_path / name) in str(caught.value)


# Paths that do not exist --------------------------------------------------------------------------


@pytest.fixture
def spelt(tmp_path, monkeypatch):
    """Files in a folder that is the working folder, too."""
    for name in ("Audio/A.wav", "Audio/cafe\u0301.wav", "two/X.wav", "two/x.wav", "\uac00.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "found"),
    [
        # github.com/llmsresearch/paperbanana/pull/240: archives unpacked on macOS
        ("Audio/caf\u00e9.wav", "Audio/cafe\u0301.wav"),
        # github.com/datopian/datahub.io/issues/223: lists made on Windows
        ("Audio\\A.wav", "Audio/A.wav"),
        (".\\Audio\\caf\u00e9.wav", "Audio/cafe\u0301.wav"),
        ("two/../Audio\\A.wav", "two/../Audio/A.wav"),
        ("\u1100\u1161.wav", "\uac00.wav"),
    ],
)
@pytest.mark.parametrize("absolute", [True, False])
def test_a_path_in_another_form_is_found(spelt, path, found, absolute):
    path, found = (f"{spelt}/{name}" if absolute else name for name in (path, found))
    assert similar_path(path) == (found, "")


@pytest.mark.parametrize(
    ("path", "named"),
    [
        # github.com/nl8590687/ASRT_SpeechRecognition/issues/15: lists made on Windows
        ("audio/a.WAV", "Audio/A.wav"),
        ("AUDIO/CAF\u00c9.wav", "Audio/cafe\u0301.wav"),
        ("audio\\a.wav", "Audio/A.wav"),
        ("C:\\Users\\me\\a.wav", "Windows"),
        ("two/\\x.WAV", ""),  # which of the two?
        ("Audio/b.wav", ""),
        ("nowhere/A.wav", ""),
        ("Audio/A.wav/x", ""),
        ("a\0b", ""),
        ("", ""),
    ],
)
def test_another_path_is_named_at_most(spelt, path, named):
    found, hint = similar_path(path)
    assert found is None
    assert (named in hint) if named else not hint


@pytest.mark.parametrize(
    ("target", "named"),
    [("/data/gone.wav", "/data/gone.wav"), ("../.git/annex/x", "git annex get")],
)
def test_a_link_to_a_missing_file_is_named(tmp_path, target, named):
    (tmp_path / "a.wav").symlink_to(target)
    found, hint = similar_path(tmp_path / "a.wav")
    assert found is None
    assert named in hint


def test_a_folder_is_listed_once_for_many_missing_files(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / f"A{number}.wav").touch()
    calls = []
    listdir = os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: calls.append(folder) or listdir(folder))
    for number in range(20):
        similar_path(tmp_path / f"a{number}.wav")
    assert len(calls) == 1
    os.utime(tmp_path, ns=(0, 0))  # as if it had changed
    assert "A1.wav" in similar_path(tmp_path / "a1.wav")[1]
    assert len(calls) == 2
