"""MAPSSWE against NIST's own output and a second implementation; two systems' files compared."""

import itertools
import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from speechgru.errors import ScoringError
from speechgru.scoring.mapsswe import compare_files, mapsswe, segments
from speechgru.scoring.trn import write_trn


@pytest.mark.parametrize(
    ("errors_a", "errors_b", "expected"),
    [
        # gap word gap word …; a segment ends at the second word that both got right
        ([0, 0, 0], [0, 0, 0], []),
        ([0, 1, 0], [0, 0, 0], [(1, 0)]),
        ([2], [0], [(2, 0)]),  # nothing was said
        ([0, 1, 0, 0, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0, 1, 0], [(1, 0), (1, 1)]),
        ([0, 1, 0, 0, 0, 1, 0], [0, 0, 0, 0, 0, 0, 0], [(2, 0)]),  # one good word does not part
        ([0, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 3, 0, 0], [(1, 3)]),  # nor two with words between
        ([0, 1, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 0, 0], [(1, 0), (2, 0)]),
    ],
)
def test_segments_by_hand(errors_a, errors_b, expected):
    assert segments(errors_a, errors_b) == expected


def test_mapsswe_gives_what_nist_sc_stats_printed():
    # The two systems of sc_stats' own test (SCTK, src/sclite/testdata: file1.sgml, file2.sgml), and
    # its output: 3 segments, mean 0.667, std dev 0.577, Z 2.000. "had" for "(ha-)" counts as right
    # there (a fragment), so both are "ha" here.
    result = mapsswe(
        ["", "yeah how do we handle how do we ha address that"],
        ["s.", "yeah but we have not had we ha that s. a."],
        ["", "yeah but we have not and we ha that's right"],
    )
    assert result.segments == 3
    assert result.mean == pytest.approx(0.667, abs=5e-4)
    assert result.deviation == pytest.approx(0.577, abs=5e-4)
    assert result.z == pytest.approx(2.0, abs=5e-4)
    assert result.p == pytest.approx(2 * stats.norm.sf(2.0))


def test_mapsswe_when_all_segments_say_the_same():
    references = ["one"] * 9
    result = mapsswe(references, references, ["two"] * 9)
    assert (result.segments, result.deviation) == (9, 0)
    assert result.z == pytest.approx(-3)  # -√9, where sc_stats would print 0
    same = mapsswe(references, references, references)
    assert (same.segments, same.mean, same.z, same.p) == (0, 0, 0, 1)
    tied = mapsswe(references, ["two"] * 9, ["three"] * 9)
    assert (tied.segments, tied.z, tied.p) == (9, 0, 1)


def aligned(reference, hypothesis):
    """(indices of wrong reference words, insertions before each word and at the end), from a table
    of costs (4 per substitution, else 3) filled and traced back."""
    rows, columns = len(reference) + 1, len(hypothesis) + 1
    cost = [[3 * max(i, j) if 0 in (i, j) else 0 for j in range(columns)] for i in range(rows)]
    for i, j in itertools.product(range(1, rows), range(1, columns)):
        changed = 4 * (reference[i - 1] != hypothesis[j - 1])
        cost[i][j] = min(cost[i - 1][j - 1] + changed, cost[i - 1][j] + 3, cost[i][j - 1] + 3)
    wrong, inserted = set(), [0] * rows
    i, j = rows - 1, columns - 1
    while i or j:
        changed = 4 * (bool(i and j) and reference[i - 1] != hypothesis[j - 1])
        if i and j and cost[i][j] == cost[i - 1][j - 1] + changed:
            i, j = i - 1, j - 1
            if changed:
                wrong.add(i)
        elif i and cost[i][j] == cost[i - 1][j] + 3:
            i -= 1
            wrong.add(i)
        else:
            j -= 1
            inserted[i] += 1
    return wrong, inserted


def second_mapsswe(references, hypotheses_a, hypotheses_b):
    """Independent of the package: cut every reference between two adjacent words that
    both systems got right, and let scipy do the rest."""
    differences = []
    for reference, *hypotheses in zip(references, hypotheses_a, hypotheses_b, strict=True):
        n = len(reference.split())
        (wrong_a, extra_a), (wrong_b, extra_b) = (
            aligned(reference.split(), text.split()) for text in hypotheses
        )
        good = [word not in wrong_a | wrong_b for word in range(n)]
        touching = [not (x or y) for x, y in zip(extra_a, extra_b, strict=True)]
        cuts = [k for k in range(n - 1) if good[k] and good[k + 1] and touching[k + 1]]
        for start, end in itertools.pairwise([-1, *cuts, n]):
            words = range(start + 1, min(end + 1, n))
            gaps = range(start + 1 + (start >= 0), end + 1)
            errors = [
                sum(word in wrong for word in words) + sum(extra[gap] for gap in gaps)
                for wrong, extra in ((wrong_a, extra_a), (wrong_b, extra_b))
            ]
            if any(errors):
                differences.append(errors[0] - errors[1])
    z = float(stats.ttest_1samp(differences, 0).statistic)
    return len(differences), z, float(2 * stats.norm.sf(abs(z)))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.2, 0.5]))
@settings(max_examples=60)
def test_mapsswe_agrees_with_a_second_implementation(seed, rate):
    rng = np.random.default_rng(seed)
    fresh = (f"w{k}" for k in itertools.count())

    def garble(text):
        """No word occurs twice, and none is deleted where others are inserted, so that all best
        alignments agree on the words that are right ("a b" against "x a" has two)."""
        words, adding = [], rng.random() < 0.5
        for word in text.split():
            draw = rng.random()
            if adding or draw > rate / 3:
                words.append(word if draw > rate else next(fresh))
            if adding and rng.random() < rate / 3:
                words.append(next(fresh))
        return " ".join(words)

    references = [" ".join(f"r{k}" for k in range(rng.integers(0, 15))) for _ in range(40)]
    a, b = [garble(t) for t in references], [garble(t) for t in references]
    references[:2] = ["r0 r1", "r0 r1"]
    a[:2], b[:2] = (
        ["r0 r1", "r0 r1 x"],
        ["r0 r1 x y", "r0 r1"],
    )  # so that segments differ in length of errors, and no deviation is 0
    result, (n, z, p) = mapsswe(references, a, b), second_mapsswe(references, a, b)
    assert result.segments == n
    assert result.z == pytest.approx(z, abs=1e-3)
    assert result.p == pytest.approx(p, abs=1e-3)


# ---- two systems' files


@pytest.fixture
def folder(tmp_path):
    """ref.trn, and two trained models each of a good and a bad system, lines in other orders."""
    rng = np.random.default_rng(15)
    references = [" ".join(rng.choice(list("abcde"), 6)) for _ in range(120)]

    def garbled(every, start):
        return [
            " ".join(["x", *text.split()[1:]]) if (k + start) % every == 0 else text
            for k, text in enumerate(references)
        ]

    texts = {"ref": references, "good1": garbled(9, 0), "good2": garbled(9, 1),
             "bad1": garbled(2, 0), "bad2": garbled(2, 1)}  # fmt: skip
    for name, lines in texts.items():
        pairs = [(f"u{k}", text) for k, text in enumerate(lines)]
        write_trn(tmp_path / f"{name}.trn", pairs if name == "ref" else reversed(pairs))
    return tmp_path


def test_compare_files_reports_both_tests(folder):
    report = compare_files(*(folder / f"{name}.trn" for name in ("ref", "good1", "bad1")))
    assert (report.utterances, report.words) == (120, 720)
    assert report.bootstrap.rate_a == pytest.approx(14 / 720)
    assert report.bootstrap.rate_b == pytest.approx(60 / 720)
    assert report.bootstrap.verdict == "better"
    (pairs,) = report.matched_pairs
    assert pairs.z < -5
    assert pairs.verdict == "better"
    figures = json.loads(json.dumps(report.to_json()))
    assert set(figures) == {"a", "b", "utterances", "words", "bootstrap", "mapsswe"}


def test_several_files_are_a_systems_seeds(folder):
    sides = [",".join(str(folder / f"{name}{k}.trn") for k in (1, 2)) for name in ("good", "bad")]
    report = compare_files(folder / "ref.trn", *sides)
    assert report.bootstrap.seeds == (2, 2)
    assert report.bootstrap.rate_a == pytest.approx((14 + 13) / 1440)
    assert report.bootstrap.rate_b == pytest.approx((60 + 60) / 1440)
    alone = [
        compare_files(*(folder / f"{name}.trn" for name in ("ref", f"good{k}", f"bad{k}")))
        for k in (1, 2)
    ]
    assert report.matched_pairs == tuple(each.matched_pairs[0] for each in alone)


def test_a_comma_in_a_files_name_is_no_list(folder):
    (folder / "good1.trn").rename(folder / "a,b.trn")
    report = compare_files(folder / "ref.trn", f"{folder}/a,b.trn", folder / "bad1.trn")
    assert report.bootstrap.seeds == (1, 1)


def test_a_single_recording_in_ctm_is_compared_in_chunks(tmp_path):
    lines = [f"r A {n}.0 0.5 w{n % 7}\n" for n in range(300)]
    for name, kept in (("ref", lines), ("a", lines[1:]), ("b", lines[::2])):
        (tmp_path / f"{name}.ctm").write_text("".join(kept))
    report = compare_files(*(tmp_path / f"{name}.ctm" for name in ("ref", "a", "b")))
    assert (report.utterances, report.words) == (6, 300)
    assert (report.bootstrap.rate_a, report.bootstrap.rate_b) == (1 / 300, 1 / 2)
    assert report.bootstrap.verdict == "better"


def test_the_command_does_not_replace_an_input_with_a_comma_in_its_name(folder, speechgru):
    file = (folder / "good1.trn").rename(folder / "a,b.trn")
    text = file.read_text()
    for sides in ((file, folder / "bad1.trn"), (folder / "bad1.trn", file)):
        result = speechgru("significance", folder / "ref.trn", *sides, "--json", file)
        assert (result.status, "input" in result.err) == (2, True)
    assert file.read_text() == text


@pytest.mark.parametrize("names", [",", "{0}/good1.trn,", "{0}/good1.trn,,{0}/good2.trn", ""])
def test_an_empty_name_in_a_list_is_refused(folder, names):
    names = names.format(folder)
    for sides in ((names, folder / "bad1.trn"), (folder / "bad1.trn", names)):
        with pytest.raises(ScoringError, match=re.escape(repr(names))):
            compare_files(folder / "ref.trn", *sides)


def test_the_command_prints_both_tests_and_writes_the_figures(folder, speechgru):
    files = [folder / f"{name}.trn" for name in ("ref", "good1", "bad1")]
    result = speechgru("significance", *files, "--margin", "0.5", "--json", folder / "figures.json")
    assert (result.status, result.err) == (0, "")
    (pairs,) = compare_files(*files).matched_pairs
    lines = result.out.splitlines()
    assert lines[0] == "120 utterances, 720 words"
    assert lines[1].split() == ["A", "WER", "1.94", "%", str(files[1])]
    z = f"{pairs.z:+.2f}".replace("-", "−")
    assert f"z = {z}, p < 0.001, {pairs.segments} segments: A is better than B" in result.out
    assert lines[-1].startswith("Verdict: A is better than B: WER 1.94 % against 8.33 %")
    figures = json.loads((folder / "figures.json").read_text())
    assert figures["bootstrap"]["margin"] == 0.005
    assert figures["mapsswe"][0]["z"] == pytest.approx(pairs.z)


def test_the_command_does_not_call_no_difference_equal(folder, speechgru):
    result = speechgru("significance", *(folder / f"{n}.trn" for n in ("ref", "good1", "good2")))
    assert result.status == 0
    assert "fewer than 50" in result.out
    assert "Verdict: no difference shown between A and B" in result.out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bad1": "a b (u1)\n"}, ["bad1.trn", "119 of 120", "(u0, u2, "]),
        ({"bad1": None}, ["bad1.trn", "No such file"]),
        ({"ref": ""}, ["ref.trn", "no utterances"]),
        ({"ref": "a (u1)\n", "good1": "a (u1)\n", "bad1": "a (u1)\n"},
         ["utterances: 1", "at least two"]),
    ],
)  # fmt: skip
def test_files_that_cannot_be_compared_are_one_line_with_status_2(folder, speechgru, change, named):
    for name, text in change.items():
        file = folder / f"{name}.trn"
        file.unlink() if text is None else file.write_text(text)
    result = speechgru("significance", *(folder / f"{n}.trn" for n in ("ref", "good1", "bad1")))
    assert (result.status, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    for part in named:
        assert part in result.err


def test_alternatives_that_were_not_chosen_are_no_words(tmp_path):
    """Errors on both sides of an alternation of which the systems match different readings."""
    ref = "".join(f"x {{ um / uh / @ }} b y (s-{k})\n" for k in range(3))
    texts = {"ref": ref, "a": ref.replace("x { um / uh / @ } b y", "z um b y"),
             "b": ref.replace("{ um / uh / @ } b y", "uh b z")}  # fmt: skip
    for name, text in texts.items():
        (tmp_path / f"{name}.trn").write_text(text)
    report = compare_files(*(tmp_path / f"{name}.trn" for name in texts))
    assert (report.words, report.bootstrap.rate_a, report.bootstrap.rate_b) == (12, 0.25, 0.25)
    assert report.matched_pairs[0].segments == 3  # b alone does not part x from y


@pytest.mark.parametrize("margin", ["0", "-1", "100"])
def test_an_impossible_margin_is_refused(folder, speechgru, margin):
    files = [folder / f"{name}.trn" for name in ("ref", "good1", "bad1")]
    result = speechgru("significance", *files, "--margin", margin)
    assert result.status == 2
    assert f" {margin} percentage points" in result.err
