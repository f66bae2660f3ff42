"""Intervals and tests: against theory, scipy, hand-worked examples and second implementations."""

import itertools
import json
import math

import jiwer
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from speechgru.errors import ScoringError
from speechgru.significance import (
    adjust,
    compare_files,
    crossed_bootstrap,
    holm,
    mapsswe,
    rate_interval,
    resampled_sums,
    resampling_units,
    segments,
    t_quantile,
    t_tails,
)

# ---- the laws


@pytest.mark.parametrize("df", [1, 1.5, 2, 3.7, 9, 50, 299, 1e4, 9e5, math.inf])
def test_student_agrees_with_scipy(df):
    for t in (0, 1e-12, 1e-3, 0.1, 1, 2, -3, 5, 10, 40):
        assert t_tails(t, df) == pytest.approx(2 * stats.t.sf(abs(t), df), rel=1e-7)
    for p in (0.9, 0.4, 0.05, 0.001, 1e-5):
        assert t_quantile(p, df) == pytest.approx(stats.t.isf(p / 2, df), rel=1e-7)


def test_student_by_hand():
    assert t_tails(1.0, 1) == pytest.approx(0.5)  # Cauchy's quartile
    assert t_quantile(0.05, 2) == pytest.approx(4.303, abs=5e-4)  # any printed table
    assert t_quantile(0.05, math.inf) == pytest.approx(1.959964, abs=1e-6)


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_agrees_with_its_definition(p_values):
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.2, 0.9):
        rejected = set()  # step down: stop at the first that is not below level / (pairs left)
        for rank, place in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
            if p_values[place] * (len(p_values) - rank) > level:
                break
            rejected.add(place)
        assert rejected == {place for place, p in enumerate(adjusted) if p <= level}


# ---- resampling


def test_resampled_sums_draw_whole_rows():
    table = np.array([[1.0, 100.0], [2.0, 200.0], [4.0, 400.0]])
    sums = resampled_sums(table, 2, 5000, np.random.default_rng(0))
    values, counts = np.unique(sums[:, 0], return_counts=True)
    assert values.tolist() == [2, 3, 4, 5, 6, 8]  # 1+1, 1+2, 2+2, 1+4, 2+4, 4+4
    assert counts / 5000 == pytest.approx(np.array([1, 2, 1, 2, 2, 1]) / 9, abs=0.02)
    assert (sums[:, 1] == 100 * sums[:, 0]).all()


def test_resampled_sums_do_not_depend_on_chunks_for_their_law():
    table = np.random.default_rng(0).normal(size=(3000, 1))  # 1500 draws are two chunks
    sums = resampled_sums(table, 3000, 1500, np.random.default_rng(1))[:, 0]
    assert sums.std() == pytest.approx(table.std() * math.sqrt(3000), rel=0.08)
    assert sums.mean() == pytest.approx(table.sum(), abs=5 * sums.std() / math.sqrt(1500))


def test_units_are_speakers_only_when_all_are_known_and_enough():
    five = ["e", "a", "b", "c", "d", "a"]
    codes, unit = resampling_units(6, five)
    assert (codes.tolist(), unit) == ([4, 0, 1, 2, 3, 0], "speaker")
    for speakers in (None, [*five[:4], "c", "c"], [*five[:5], None]):
        codes, unit = resampling_units(6, speakers)
        assert (codes.tolist(), unit) == ([0, 1, 2, 3, 4, 5], "utterance")


def test_interval_of_five_speakers_is_students():
    # Equal words, so the rate is a mean of five speaker rates: t(4) is the textbook's interval.
    errors, words = np.array([8, 10, 12, 9, 11]) * 10, np.full(5, 1000)
    (low, high), unit = rate_interval(errors, words, ["a", "b", "c", "d", "e"])
    half = stats.t.isf(0.025, 4) * (errors / words).std(ddof=1) / math.sqrt(5)
    assert unit == "speaker"
    assert (high + low) / 2 == pytest.approx(0.1, rel=0.02)
    assert (high - low) / 2 == pytest.approx(half, rel=0.06)


# ---- the crossed bootstrap


def table_of(rng, seeds=3, utterances=60, rate=0.15, words=6):
    """Errors (2, seeds, utterances) of two like systems, and words."""
    hard = rng.beta(2, 2 / rate - 2, size=(2, 1, utterances))
    hard = (hard + rng.beta(2, 2 / rate - 2, size=(1, 1, utterances))) / 2
    return rng.binomial(words, np.broadcast_to(hard, (2, seeds, utterances))), np.full(
        utterances, words
    )


def two_way_clustered(errors, words):
    """SE² and df of the difference in closed form, loop by loop, for equal words: the estimator of
    Cameron, Gelbach & Miller with small-sample factors, written without the package's help."""
    _, seeds, units = errors.shape
    total = words.sum()
    between_units = [
        sum(errors[0, :, u]) / seeds / total - sum(errors[1, :, u]) / seeds / total
        for u in range(units)
    ]
    centre = sum(between_units) / units
    by_units = sum((x - centre) ** 2 for x in between_units) * units / (units - 1)
    by_seeds, by_both = [], 0.0
    for system in errors:
        rates = [sum(row) / total for row in system]
        mean = sum(rates) / seeds
        by_seeds.append(sum((r - mean) ** 2 for r in rates) / (seeds - 1) / seeds)
        for s in range(seeds):
            for u in range(units):
                column = sum(system[:, u]) / seeds / total
                rest = system[s, u] / total - column - (rates[s] - mean) / units
                by_both += rest**2 / seeds**2 * seeds / (seeds - 1) * units / (units - 1)
    variance = max(by_units + sum(by_seeds) - by_both, by_units, sum(by_seeds))
    df = variance**2 / (by_units**2 / (units - 1) + sum(v**2 for v in by_seeds) / (seeds - 1))
    return math.sqrt(variance), max(df, min(seeds, units) - 1)


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_draws_agree_with_the_closed_form(seeds):
    errors, words = table_of(np.random.default_rng(seeds), seeds)
    errors = errors + (np.arange(seeds)[:, None] > 0)  # seeds that differ
    errors[0, :, ::2] += 1
    test = crossed_bootstrap(*errors, words)
    error, df = two_way_clustered(errors, words)
    assert test.standard_error == pytest.approx(error, rel=0.04)
    assert test.degrees_of_freedom == pytest.approx(df, rel=0.1)
    assert test.p == pytest.approx(2 * stats.t.sf(abs(test.difference) / error, df), rel=0.15)


def test_one_seed_is_the_paired_t_test_over_utterances():
    errors, words = table_of(np.random.default_rng(5), seeds=1, utterances=200)
    test = crossed_bootstrap(errors[0, 0], errors[1, 0], words)
    expected = stats.ttest_rel(errors[0, 0] / words, errors[1, 0] / words)
    assert test.difference == pytest.approx(errors[0].sum() / 1200 - errors[1].sum() / 1200)
    assert test.p == pytest.approx(expected.pvalue, rel=0.1)
    low, high = expected.confidence_interval()
    assert test.ci95 == pytest.approx((low, high), abs=0.04 * (high - low))
    assert test.degrees_of_freedom == pytest.approx(199)


def test_speakers_are_the_units_when_known():
    errors, words = table_of(np.random.default_rng(6), seeds=1, utterances=200)
    speakers = [f"s{k % 8}" for k in range(200)]
    test = crossed_bootstrap(errors[0], errors[1], words, speakers)
    by_speaker = [
        sum(errors[0, 0, k] - errors[1, 0, k] for k in range(s, 200, 8)) / 150 for s in range(8)
    ]
    assert (test.unit, test.units) == ("speaker", 8)
    assert test.standard_error == pytest.approx(np.std(by_speaker, ddof=1) / math.sqrt(8), rel=0.03)
    assert test.p == pytest.approx(stats.ttest_1samp(by_speaker, 0).pvalue, rel=0.1)


def test_swapping_the_systems_mirrors_everything():
    errors, words = table_of(np.random.default_rng(7))
    errors[0] += 1
    ab, ba = crossed_bootstrap(*errors, words), crossed_bootstrap(*errors[::-1], words)
    assert ab.difference == -ba.difference
    assert ab.ci95 == pytest.approx((-ba.ci95[1], -ba.ci95[0]), rel=0.05)
    assert (ab.verdict, ba.verdict) == ("worse", "better")


def test_result_does_not_depend_on_the_order_of_seeds_or_utterances():
    errors, words = table_of(np.random.default_rng(8))
    shuffled = np.random.default_rng(9).permutation(60)
    here = crossed_bootstrap(*errors, words)
    there = crossed_bootstrap(*errors[:, ::-1, shuffled], words[shuffled])
    assert there.difference == pytest.approx(here.difference)
    assert there.standard_error == pytest.approx(here.standard_error, rel=0.04)


def test_systems_may_have_different_numbers_of_seeds():
    errors, words = table_of(np.random.default_rng(10), seeds=5)
    test = crossed_bootstrap(errors[0], errors[1, :2], words)
    assert test.seeds == (5, 2)
    assert "5 and 2 seeds" in test.reach()


def test_identical_systems_are_not_proven_equal_by_a_small_test():
    errors, words = np.tile(np.arange(60) % 2, (3, 1)), np.full(60, 5)
    small = crossed_bootstrap(errors, errors, words)
    assert (small.difference, small.p) == (0, 1)
    assert small.ci95[1] == pytest.approx(1 - 0.025 ** (1 / 300))  # 1.2 points
    assert small.verdict == "no difference shown"
    many = errors[:, [0] * 6000]
    big = crossed_bootstrap(many, many, np.full(6000, 5), margin=0.01, draws=100)
    assert big.verdict == "equivalent"
    assert "equivalent within 1.00 points" in big.sentence()


def test_verdict_sentence_and_json():
    errors, words = table_of(np.random.default_rng(11), utterances=300)
    a, b = errors[0], errors[1] + (np.arange(300) % 3 == 0)
    test = crossed_bootstrap(a, b, words)
    assert test.verdict == "better"
    sentence = test.sentence("GRU", "LSTM")
    assert sentence.startswith("GRU is better than LSTM: WER ")
    assert "p < 0.001; over 300 utterances (of these speakers) and 3 seeds" in sentence
    assert json.loads(json.dumps(test.to_json()))["verdict"] == "better"
    single = crossed_bootstrap(a[0], b[0], words)
    assert "only: with one trained model a side, other seeds may differ" in single.sentence()


def test_holm_changes_the_verdict_and_says_so():
    rng = np.random.default_rng(12)
    tests = []
    while len(tests) < 6:
        errors, words = table_of(rng, seeds=1)
        tests.append(crossed_bootstrap(*errors, words))
    weak = next(
        t
        for extra in range(60)
        if 0.02 < (t := _shifted(rng, extra)).p < 0.05
    )  # fmt: skip
    assert weak.verdict in ("better", "worse")
    adjusted = adjust([weak, *tests])[0]
    assert adjusted.p == weak.p
    assert adjusted.verdict == "no difference shown"
    assert "after Holm" in adjusted.sentence()
    assert "after Holm" not in weak.sentence()


def _shifted(rng, extra):
    errors, words = table_of(rng, seeds=1)
    errors[0, 0, :extra] += 1
    return crossed_bootstrap(*errors, words)


def test_the_minimum_detectable_difference_is_found_eight_times_in_ten():
    rng, found = np.random.default_rng(13), []
    words = np.full(400, 10)
    probe = crossed_bootstrap(*rng.binomial(10, 0.2, (2, 400)), words, draws=500)
    for _ in range(200):
        a = rng.binomial(10, 0.2 + probe.minimum_detectable, 400)
        b = rng.binomial(10, 0.2, 400)
        found.append(crossed_bootstrap(a, b, words, draws=500).verdict == "worse")
    assert 0.70 < np.mean(found) < 0.90


def test_few_false_positives_at_three_seeds():
    # A short check that calibration has not broken; the full one is benchmarks/'s simulation.
    rng, found = np.random.default_rng(14), []
    for _ in range(400):
        seed_effect = rng.normal(0, 0.03, (2, 3, 1))
        errors = rng.binomial(6, np.clip(0.15 + seed_effect, 0.01, 1), (2, 3, 50))
        found.append(crossed_bootstrap(*errors, np.full(50, 6), draws=300).p < 0.05)
    assert np.mean(found) < 0.07


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2], [1, 2, 3], [5, 5]), "errors of 2 and 3, words of 2 and speakers of 2"),
        (([1, 2], [1, 2], [5, 5], ["ann"]), "speakers of 1"),
        (([1], [1], [5]), "1 utterances with 5 reference words"),
        (([0, 1], [0, 0], [0, 0]), "2 utterances with 0 reference words"),
    ],
)
def test_too_little_to_compare_is_said(arguments, message):
    arrays = [np.array(values) for values in arguments[:3]]
    with pytest.raises(ScoringError, match=message):
        crossed_bootstrap(*arrays, *arguments[3:])


# ---- MAPSSWE


@pytest.mark.parametrize(
    ("faults_a", "faults_b", "expected"),
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
def test_segments_by_hand(faults_a, faults_b, expected):
    assert segments(faults_a, faults_b) == expected


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


def second_mapsswe(references, hypotheses_a, hypotheses_b):
    """Written apart: mark each reference word and each insertion in a string, then split it with
    the definition itself, two adjacent words that both systems got right."""
    differences = []
    for texts in zip(references, hypotheses_a, hypotheses_b, strict=True):
        n = len(texts[0].split())
        wrong = [set(), set()]
        inserted = [[0] * (n + 1), [0] * (n + 1)]
        for system in (0, 1):
            opcodes = jiwer.process_words(texts[0], texts[1 + system]).alignments[0]
            for op in opcodes:
                if op.type == "insert":
                    inserted[system][op.ref_start_idx] += op.hyp_end_idx - op.hyp_start_idx
                if op.type in ("substitute", "delete"):
                    wrong[system] |= set(range(op.ref_start_idx, op.ref_end_idx))
        good = [word not in wrong[0] | wrong[1] for word in range(n)]
        touching = [inserted[0][gap] + inserted[1][gap] == 0 for gap in range(n + 1)]
        # cut between words k and k + 1 when both are right and nothing was inserted between
        cuts = [k for k in range(n - 1) if good[k] and good[k + 1] and touching[k + 1]]
        edges = [-1, *cuts, n]
        for start, end in itertools.pairwise(edges):
            words = range(start + 1, min(end + 1, n))
            gaps = range(start + 1 + (start >= 0), end + 1)
            errors = [
                sum(k in wrong[s] for k in words) + sum(inserted[s][gap] for gap in gaps)
                for s in (0, 1)
            ]
            if any(errors):
                differences.append(errors[0] - errors[1])
    n = len(differences)
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    z = mean / math.sqrt(variance / n)
    return n, z, math.erfc(abs(z) / math.sqrt(2))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.05, 0.2, 0.5]))
@settings(max_examples=60, deadline=None)
def test_mapsswe_agrees_with_a_second_implementation(seed, rate):
    rng = np.random.default_rng(seed)

    def garble(text):
        words = []
        for word in text.split():
            draw = rng.random()
            if draw > rate / 3:
                words.append(word if draw > rate else str(rng.choice(list("abc"))))
            if rng.random() < rate / 3:
                words.append(str(rng.choice(list("abc"))))
        return " ".join(words)

    references = [" ".join(rng.choice(list("abcde"), rng.integers(0, 15))) for _ in range(40)]
    a, b = [garble(t) for t in references], [garble(t) for t in references]
    b[0] += " x y"  # so that segments differ in length of errors, and no deviation is 0
    a[1] += " x"
    result, (n, z, p) = mapsswe(references, a, b), second_mapsswe(references, a, b)
    assert result.segments == n
    assert result.z == pytest.approx(z, abs=1e-6)
    assert result.p == pytest.approx(p, abs=1e-6)


# ---- two files


def test_compare_files_reports_both_tests(tmp_path):
    rng = np.random.default_rng(15)
    references = [" ".join(rng.choice(list("abcde"), 6)) for _ in range(120)]
    worse = [" ".join(["x", *t.split()[1:]]) if k % 3 else t for k, t in enumerate(references)]
    better = [
        " ".join(["x", *t.split()[1:]]) if k % 9 == 0 else t for k, t in enumerate(references)
    ]
    for name, texts in (("ref", references), ("a", better), ("b", worse[::-1])):
        order = range(120) if name != "b" else range(119, -1, -1)
        lines = [f"{text} (u{k})\n" for k, text in zip(order, texts, strict=True)]
        (tmp_path / f"{name}.trn").write_text("".join(lines))
    report = compare_files(*(tmp_path / f"{name}.trn" for name in ("ref", "a", "b")))
    assert (report.utterances, report.words) == (120, 720)
    assert report.bootstrap.wer_a == pytest.approx(14 / 720)
    assert report.bootstrap.wer_b == pytest.approx(80 / 720)
    assert report.bootstrap.verdict == "better"
    assert report.matched_pairs.z < -5
    text = report.format()
    for piece in ("120 utterances, 720 words", "MAPSSWE", "bootstrap", "Verdict: A is better"):
        assert piece in text
    assert "fewer than 50" not in text
    figures = json.loads(json.dumps(report.to_json()))
    assert set(figures) == {"a", "b", "utterances", "words", "bootstrap", "mapsswe"}


def test_compare_files_names_what_is_missing(tmp_path):
    (tmp_path / "ref.trn").write_text("one (u1)\ntwo (u2)\n")
    (tmp_path / "a.trn").write_text("one (u1)\ntwo (u2)\n")
    (tmp_path / "b.trn").write_text("one (u1)\n")
    with pytest.raises(ScoringError, match=r"b\.trn: 1 of 2 utterances .*\(u2\)"):
        compare_files(tmp_path / "ref.trn", tmp_path / "a.trn", tmp_path / "b.trn")
