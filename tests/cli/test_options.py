"""What every command checks before its work."""

from pathlib import Path

import pytest

from speechgru.cli.options import check_outputs
from speechgru.errors import SpeechgruError


def test_no_output_is_asked_for_in_any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/dev")
    check_outputs(None)


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_is_no_file(name: str) -> None:
    with pytest.raises(SpeechgruError, match="standard output"):
        check_outputs(Path(name))


def test_an_output_never_replaces_an_input(tmp_path: Path) -> None:
    with pytest.raises(SpeechgruError, match="input"):
        check_outputs(tmp_path / "x.json", inputs=[tmp_path / "x.json"])


def test_an_output_never_replaces_another(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "x.json")
    with pytest.raises(SpeechgruError, match="two outputs"):
        check_outputs(tmp_path / "x.json", tmp_path / "link")
