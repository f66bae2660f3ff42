"""Intervals and tests: against theory, scipy, hand-worked examples and second implementations."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from speechgru.errors import ScoringError
from speechgru.scoring.interval import (
    rate_interval,
    resampled_sums,
    resampling_units,
    t_quantile,
    t_tails,
)
from speechgru.scoring.significance import adjust, crossed_bootstrap, holm, signed_points

# ---- Student's t, Holm, resampling


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


def test_the_distribution_of_resampled_sums_does_not_depend_on_chunks():
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


def test_interval_of_three_held_out_speakers_spans_the_worst_and_the_best_of_them():
    # Of the 27 draws one is thrice the best speaker and one thrice the worst: 1 in 27 is more than
    # 2.5 %, so the percentiles are these two's rates, 2 points off; then comes the stretch.
    errors, words = np.array([5, 6, 3, 4, 5, 7]), np.full(6, 50)
    speakers = ["b", "c", "a", "b", "a", "c"]  # 8, 9 and 13 errors in 100
    (low, high), unit = rate_interval(errors, words, speakers, held_out=True)
    stretch = stats.t.isf(0.025, 2) / stats.norm.isf(0.025) * math.sqrt(3 / 2)
    assert unit == "speaker"
    assert (low, high) == pytest.approx((0.1 - 0.02 * stretch, 0.1 + 0.03 * stretch))
    assert rate_interval(errors, words, speakers)[1] == "utterance"


# ---- the crossed bootstrap


def table_of(rng, seeds=3, utterances=60, rate=0.15, words=6):
    """Errors (2, seeds, utterances) of two like systems, and words."""
    hard = rng.beta(2, 2 / rate - 2, size=(2, 1, utterances))
    hard = (hard + rng.beta(2, 2 / rate - 2, size=(1, 1, utterances))) / 2
    return rng.binomial(words, np.broadcast_to(hard, (2, seeds, utterances))), np.full(
        utterances, words
    )


def variances(errors, words):
    """In closed form, loop by loop, for equal words and without the package's help: of the
    difference by units; of each system by seeds; of each system by seeds with units. The estimator
    of Cameron, Gelbach & Miller with small-sample factors."""
    _, seeds, units = errors.shape
    total = words.sum()
    between_units = [
        sum(errors[0, :, u]) / seeds / total - sum(errors[1, :, u]) / seeds / total
        for u in range(units)
    ]
    centre = sum(between_units) / units
    by_units = sum((x - centre) ** 2 for x in between_units) * units / (units - 1)
    by_seeds, by_both = [], []
    for system in errors:
        rates = [sum(row) / total for row in system]
        mean = sum(rates) / seeds
        by_seeds.append(sum((r - mean) ** 2 for r in rates) / (seeds - 1) / seeds)
        noise = 0.0
        for s in range(seeds):
            for u in range(units):
                column = sum(system[:, u]) / seeds / total
                rest = system[s, u] / total - column - (rates[s] - mean) / units
                noise += rest**2 / seeds**2 * seeds / (seeds - 1) * units / (units - 1)
        by_both.append(noise)
    return by_units, by_seeds, by_both


def error_and_df(variance, by_units, by_seeds, seeds, units):
    df = variance**2 / (by_units**2 / (units - 1) + sum(v**2 for v in by_seeds) / (seeds - 1))
    poorest = seeds - 1 if any(by_seeds) else units - 1
    return math.sqrt(variance), max(df, min(poorest, units - 1))


def two_way_clustered(errors, words):
    """Standard error and df where each model reads every unit."""
    by_units, by_seeds, by_both = variances(errors, words)
    variance = max(by_units + sum(by_seeds) - sum(by_both), by_units, sum(by_seeds))
    return error_and_df(variance, by_units, by_seeds, *errors.shape[1:])


def held_out_clustered(errors, words):
    """The same where each unit has models of its own: the noise of seeds with units is the units'
    own, and seeds add what they show beyond it, system by system."""
    by_units, by_seeds, by_both = variances(errors, words)
    shared = [max(0.0, s - b) for s, b in zip(by_seeds, by_both, strict=True)]
    return error_and_df(by_units + sum(shared), by_units, shared, *errors.shape[1:])


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_draws_agree_with_the_closed_form(seeds):
    errors, words = table_of(np.random.default_rng(seeds), seeds)
    errors = errors + (np.arange(seeds)[:, None] > 0)  # seeds that differ
    errors[0, :, ::2] += 1
    test = crossed_bootstrap(*errors, words)
    error, df = two_way_clustered(errors, words)
    assert test.crossed.value == pytest.approx(error, rel=0.04)
    assert test.crossed.df == pytest.approx(df, rel=0.1)
    crossed = 2 * stats.t.sf(abs(test.difference) / error, df)
    assert test.p_crossed == pytest.approx(crossed, rel=0.15)


def test_one_seed_is_the_paired_t_test_over_utterances():
    errors, words = table_of(np.random.default_rng(5), seeds=1, utterances=200)
    test = crossed_bootstrap(errors[0, 0], errors[1, 0], words)
    expected = stats.ttest_rel(errors[0, 0] / words, errors[1, 0] / words)
    assert test.difference == pytest.approx(errors[0].sum() / 1200 - errors[1].sum() / 1200)
    assert test.p == pytest.approx(expected.pvalue, rel=0.1)
    low, high = expected.confidence_interval()
    assert test.ci95 == pytest.approx((low, high), abs=0.04 * (high - low))
    assert test.crossed.df == pytest.approx(199)


def test_speakers_are_the_units_when_known():
    errors, words = table_of(np.random.default_rng(6), seeds=1, utterances=200)
    speakers = [f"s{k % 8}" for k in range(200)]
    test = crossed_bootstrap(errors[0], errors[1], words, speakers)
    by_speaker = [
        sum(errors[0, 0, k] - errors[1, 0, k] for k in range(s, 200, 8)) / 150 for s in range(8)
    ]
    assert (test.unit, test.units) == ("speaker", 8)
    assert test.crossed.value == pytest.approx(np.std(by_speaker, ddof=1) / math.sqrt(8), rel=0.03)
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
    assert there.crossed.value == pytest.approx(here.crossed.value, rel=0.04)


def test_seeds_alone_are_welchs_test():
    rng = np.random.default_rng(20)
    errors, words = table_of(rng, seeds=3, utterances=300)
    errors = errors + np.array([[[0], [1], [0]], [[0], [0], [2]]])  # seeds that differ
    test = crossed_bootstrap(*errors, words)
    rates = errors.sum(2) / words.sum()
    expected = stats.ttest_ind(*rates, equal_var=False)
    assert test.p_seeds == pytest.approx(expected.pvalue)
    assert test.p == max(test.p_crossed, test.p_seeds)
    low, high = expected.confidence_interval()
    assert test.ci95[0] <= low + 1e-9
    assert test.ci95[1] >= high - 1e-9


def test_two_seeds_that_differ_show_little_however_many_utterances():
    # A's seeds make 10 and 20 errors in 100 words, B's 30 and 40: SE √50 %, df 2, t = 2.83.
    errors = np.repeat([[[1], [2]], [[3], [4]]], 4000, axis=2)
    test = crossed_bootstrap(*errors, np.full(4000, 10))
    assert test.p_seeds == pytest.approx(2 * stats.t.sf(0.2 / math.sqrt(0.005), 2))
    assert test.p == pytest.approx(0.106, abs=5e-4)
    assert test.verdict == "no difference shown"
    same = crossed_bootstrap(errors[0, [0, 0]], errors[1, [0, 0]], np.full(4000, 10))
    assert same.p_seeds == 0  # seeds that agree add nothing
    assert same.verdict == "better"


def test_several_pairs_are_adjusted_by_holm_in_p_and_in_what_would_be_found():
    errors, words = table_of(np.random.default_rng(21))
    one = crossed_bootstrap(*errors, words)
    # p of 0.03 from the seeds alone is adjusted as any other.
    tests = [replace(one, p=p) for p in (0.03, 0.01, 0.2)]
    adjusted = adjust(tests)
    assert [t.p_adjusted for t in adjusted] == pytest.approx([0.06, 0.03, 0.2])
    assert [t.p_adjusted < 0.05 for t in adjusted] == [t.verdict == "better" for t in adjusted]
    wider = max(
        error.value * (stats.t.ppf(1 - 0.05 / 6, error.df) + stats.t.ppf(0.8, error.df))
        for error in (one.crossed, one.seeds_alone)
    )
    assert [t.minimum_detectable for t in adjusted] == pytest.approx([wider] * 3)
    assert adjust([one])[0].minimum_detectable == pytest.approx(one.minimum_detectable)


def test_held_out_speakers_are_the_units_however_few():
    rng = np.random.default_rng(22)
    errors, words = table_of(rng, seeds=1, utterances=90)
    speakers = [f"s{k % 3}" for k in range(90)]
    test = crossed_bootstrap(*errors[:, 0], words, speakers, held_out=True)
    by_speaker = [
        sum(errors[0, 0, k] - errors[1, 0, k] for k in range(s, 90, 3)) / (30 * 6) for s in range(3)
    ]
    expected = stats.ttest_1samp(by_speaker, 0)
    assert (test.unit, test.units, test.seeds) == ("speaker", 3, (1, 1))
    assert test.p == pytest.approx(expected.pvalue, rel=0.1)
    assert test.crossed.df == pytest.approx(2)
    assert "3 speakers" in test.reach()
    assert "one seed" in test.reach()


def test_a_seed_s_luck_with_every_held_out_speaker_counts():
    """Folds of one seed begin with the same weights: A's second seed is worse for every speaker."""
    speakers, words = [f"s{k}" for k in range(6)], np.full(6, 100)
    errors = np.array([[[20] * 6, [30] * 6], [[10] * 6, [10] * 6]]) + np.arange(6) % 2
    test = crossed_bootstrap(*errors, words, speakers, held_out=True)
    alike = crossed_bootstrap(errors[0, [1, 1]], errors[1], words, speakers, held_out=True)
    assert (alike.verdict, test.verdict) == ("worse", "no difference shown")
    assert test.reach().startswith("over 6 speakers, each scored by 2 models")
    assert test.p_seeds == 0  # Welch's test does not apply
    assert (alike.from_seeds, test.from_seeds > 0.9) == (0, True)


@pytest.mark.parametrize("draw", [0, 1, 6, 9])
def test_of_a_seed_s_luck_only_what_exceeds_its_noise_counts(draw):
    """A's seeds are 20, 24 and 28 errors in 100, B's alike; noise of seeds with speakers on top."""
    rng = np.random.default_rng(draw)
    errors = np.array([[[20], [24], [28]], [[15], [15], [15]]]) + rng.integers(-8, 9, (2, 3, 6))
    words, speakers = np.full(6, 100), list("abcdef")
    test = crossed_bootstrap(*errors, words, speakers, held_out=True)
    error, df = held_out_clustered(errors, words)
    assert test.crossed.value == pytest.approx(error, rel=0.03)
    assert test.crossed.df == pytest.approx(df, rel=0.1)
    by_units, by_seeds, by_both = variances(errors, words)
    assert by_both[0] < by_seeds[0]
    assert test.from_seeds == pytest.approx(1 - by_units / error**2, abs=0.03)
    assert math.sqrt(by_units + sum(by_seeds)) > 1.07 * error  # had all of it been counted


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
    assert "within 1.00 points" in big.sentence()


def test_verdict_figures_and_json():
    errors, words = table_of(np.random.default_rng(11), utterances=300)
    a, b = errors[0], errors[1] + (np.arange(300) % 3 == 0)
    test = crossed_bootstrap(a, b, words)
    assert test.verdict == "better"
    sentence = test.sentence("GRU", "LSTM")
    assert sentence.startswith("GRU is better than LSTM: WER ")
    low, high = test.ci95
    rates = (f"{100 * test.rate_a:.2f} %", f"{100 * test.rate_b:.2f} %")
    for part in (*rates, signed_points(low), signed_points(high), "p = 0.008", "3 seeds"):
        assert part in sentence
    assert json.loads(json.dumps(test.to_json()))["verdict"] == "better"
    single = crossed_bootstrap(a[0], b[0], words)
    assert "other seeds may differ" in single.sentence()


@pytest.mark.parametrize(
    ("difference", "text"),
    [(-0.0123, "−1.23"), (0.5, "+50.00"), (0.0, "+0.00"), (-0.00001, "+0.00")],
)
def test_points_always_have_a_sign(difference, text):
    assert signed_points(difference) == text


def test_holm_changes_the_verdict():
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
    assert "Holm" in adjusted.sentence()
    assert "Holm" not in weak.sentence()


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
    ("arguments", "named"),
    [
        (([1, 2], [1, 2, 3], [5, 5]), "2 and 3.* 2 .* 2 "),
        (([1, 2], [1, 2], [5, 5], ["ann"]), "2 and 2.* 2 .* 1 "),
        (([1], [1], [5]), "utterances: 1, reference words: 5"),
        (([0, 1], [0, 0], [0, 0]), "utterances: 2, reference words: 0"),
    ],
)
def test_arrays_that_cannot_be_compared_are_refused(arguments, named):
    arrays = [np.array(values) for values in arguments[:3]]
    with pytest.raises(ScoringError, match=named):
        crossed_bootstrap(*arrays, *arguments[3:])
