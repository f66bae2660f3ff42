"""What an audit writes: audit.json, the page, cleaned manifests; and the command."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import pytest
from injected import Corpus

from speechgru.audit import KINDS, audit
from speechgru.audit.cleaning import CHANGES, write_cleaned
from speechgru.audit.report import LISTED, to_html, write_report
from speechgru.errors import SpeechgruError
from speechgru.manifest import read_manifest, scan_manifest


class Page(HTMLParser):
    """The tags of a page, and every address it refers to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_page_needs_no_other_file(bad: SimpleNamespace, tmp_path: Path) -> None:
    files = write_report(bad.report, tmp_path)
    assert [file.name for file in files] == ["audit.json", "audit.html"]
    page = Page(files[1].read_text(encoding="utf-8"))
    anchors = {f"#{kind}" for kind in bad.report.by_kind()}
    assert {a for a in page.addresses if not a.startswith("data:")} == anchors
    assert page.tags.count("audio") > 20
    assert page.tags.count("img") == 2
    assert json.loads(files[0].read_text())["format"] == "speechgru-audit-1"


def test_the_page_escapes_what_the_data_contains(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.add(id="<script>alert(1)</script>", text="<b>bold</b> words", speaker="<i>")
    report = audit(corpus.write()[:1])
    page = to_html(report)
    assert not {"script", "b", "i"} & set(Page(page).tags)
    assert "&lt;script&gt;" in page


def test_a_file_name_that_is_not_utf_8(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.add()
    corpus.add(audio_filepath="caf\udce9.wav")
    paths = corpus.write()[:1]
    report = audit(paths)
    assert all(file.is_file() for file in write_report(report, tmp_path / "report"))
    assert write_cleaned(tmp_path / "out", paths, report.problems).removed == 1


def test_a_long_list_is_cut_and_counted(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    for _ in range(LISTED + 7):
        corpus.add(audio_filepath="missing.wav", id=None)
    corpus.lines["train"] = [line | {"id": str(i)} for i, line in enumerate(corpus.lines["train"])]
    page = to_html(audit(corpus.write()[:1]))
    assert page.count("no such file;") == LISTED
    assert re.search(rf"first {LISTED} of {LISTED + 7}", page)


# Cleaned manifests -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cleaned(bad: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("cleaned")
    result = write_cleaned(folder, bad.paths, bad.report.problems)
    changes = [json.loads(line) for line in (folder / CHANGES).read_text().splitlines()]
    return SimpleNamespace(folder=folder, result=result, changes=changes)


def test_cleaned_manifests_have_none_of_the_problems_that_are_fixed(
    bad: SimpleNamespace, cleaned: SimpleNamespace
) -> None:
    again = audit([cleaned.folder / "train.jsonl", cleaned.folder / "test.jsonl"])
    fixed = {kind.name for kind in KINDS.values() if kind.fix != "nothing"}
    assert not fixed & again.by_kind().keys()
    unfixed = {p.kind for p in bad.report.problems} - fixed
    assert unfixed <= again.by_kind().keys() | {"shared-speaker", "shared-sentence"}


def test_every_change_is_listed(bad: SimpleNamespace, cleaned: SimpleNamespace) -> None:
    removed = {(c["manifest"], c["line"]) for c in cleaned.changes if c["action"] == "remove"}
    lines = sum(len(list(scan_manifest(path))) for path in bad.paths)
    kept = [read_manifest(cleaned.folder / path.name) for path in bad.paths]
    assert (cleaned.result.removed, cleaned.result.kept) == (len(removed), sum(map(len, kept)))
    assert len(removed) + cleaned.result.kept == lines
    assert {c["action"] for c in cleaned.changes} == {"remove", "duration", "id", "text"}


def test_other_keys_of_a_line_are_kept(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "data")
    corpus.add(mood="calm", lang="en", duration=0.5)
    paths = corpus.write()[:1]
    write_cleaned(tmp_path / "out", paths, audit(paths).problems)
    (line,) = (tmp_path / "out" / "train.jsonl").read_text().splitlines()
    values = json.loads(line)
    assert (values["mood"], values["lang"]) == ("calm", "en")
    assert values["duration"] == pytest.approx(audit(paths).facts.manifests[0].hours * 3600)
    assert values["audio_filepath"] == "../data/train00001.wav"


@pytest.mark.parametrize("value", [b'"a\xff"', b"1e999", b"1" * 5000])
def test_a_value_that_cannot_be_copied_is_named(value: bytes, tmp_path: Path) -> None:
    corpus = Corpus(tmp_path / "data")
    corpus.add(note="NOTE")
    (path, _) = corpus.write()
    path.write_bytes(path.read_bytes().replace(b'"NOTE"', value))
    with pytest.raises(SpeechgruError, match=r"train\.jsonl:1"):
        write_cleaned(tmp_path / "out", [path], audit([path]).problems)
    assert not (tmp_path / "out").exists()


def test_a_manifest_with_a_long_line_at_a_path_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = Corpus(tmp_path / "data")
    for text in ("x" * 2_100_000, "one", "two"):
        corpus.add(text=text)
    corpus.write()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    paths = [Path("~/data/train.jsonl")]
    write_cleaned(tmp_path / "out", paths, audit(paths).problems)
    assert [u.text for u in read_manifest(tmp_path / "out" / "train.jsonl")] == ["one", "two"]


def test_a_manifest_is_never_replaced(bad: SimpleNamespace, tmp_path: Path) -> None:
    before = [path.read_bytes() for path in bad.paths]
    with pytest.raises(SpeechgruError):
        write_cleaned(bad.paths[0].parent, bad.paths, bad.report.problems)
    with pytest.raises(SpeechgruError):
        write_cleaned(tmp_path, [bad.paths[0]] * 2, bad.report.problems)
    assert [path.read_bytes() for path in bad.paths] == before


# The command -------------------------------------------------------------------------------------


def test_the_command(speechgru, tones: Path, tmp_path: Path) -> None:
    ended = speechgru("audit", tones / "train.jsonl", "--out", tmp_path, "--strict")
    assert ended.status == 0
    assert (tmp_path / "audit.html").exists()
    assert "48" in ended.out


def test_wrong_manifests_and_folders_are_refused_before_the_work(
    speechgru, tones: Path, tmp_path: Path
) -> None:
    dev = tmp_path / "dev.jsonl"
    dev.write_bytes((tones / "dev.jsonl").read_bytes())
    for words in ((dev, "--fix", tmp_path), (dev, dev)):
        done = speechgru("audit", *words, "--out", tmp_path / "report")
        assert done.status == 2
        assert len(done.err.splitlines()) == 1
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize("name", ["audit.json", "audit.html", "link.jsonl", "changes.jsonl"])
def test_a_manifest_with_the_name_of_an_output_is_kept(speechgru, tmp_path: Path, name) -> None:
    corpus = Corpus(tmp_path)
    corpus.add()
    manifest = corpus.write()[0].rename(tmp_path / name)
    if name == "link.jsonl":
        (tmp_path / "audit.json").symlink_to(manifest)
    before = manifest.read_bytes()
    fixed, out = tmp_path / "fixed", tmp_path / "out"
    for options in ([], ["--out", fixed, "--fix", fixed], ["--out", out, "--fix", fixed]):
        done = speechgru("audit", manifest, *options)
        assert done.status in (0, 2)
        assert manifest.read_bytes() == before
        if done.status == 0 and "--fix" in options:
            assert len(read_manifest(fixed / name)) == 1


def test_problems_are_fatal_only_when_asked(speechgru, tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    corpus.add("empty-text", text="")
    corpus.add()
    path = corpus.write()[0]
    assert speechgru("audit", path).status == 0
    ended = speechgru("audit", path, "--strict", "--fix", tmp_path / "fixed")
    assert ended.status == 1
    assert "train00001" in ended.out
    assert len(read_manifest(tmp_path / "fixed" / "train.jsonl")) == 1


def test_a_model_contradicts_wrong_texts(tones: Path, tone_run: Path, tmp_path: Path) -> None:
    lines = (tones / "test.jsonl").read_text().splitlines()
    values = [json.loads(line) for line in lines]
    for line in values:
        line["audio_filepath"] = str(tones / line["audio_filepath"])
    values[3]["text"], values[5]["text"] = "oa oa oa", "am x"
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in values))
    report = audit([path], model=tone_run)
    found = [(p.kind, p.line) for p in report.problems]
    assert found == [("outside-vocabulary", 6), ("contradicted", 4)]
