"""How fast and how reliably variants learn, from the curves of their trainings."""

from dataclasses import replace

import pytest
from made_runs import run, trained

from speechgru.compare.convergence import flip_test, improving, sensitivity

EARLY = [run(seed, 0.5, 0.1, 0.1, 0.1) for seed in range(8)]
LATE = [run(seed, 0.9, 0.5, 0.4, 0.1) for seed in range(8)]


def with_cer(result, *cers):
    """The same training, with other dev CERs from the first epoch on."""
    rows = [replace(row, dev_cer=cer) for row, cer in zip(result.curve, cers, strict=False)]
    return replace(result, curve=(*rows, *result.curve[len(rows) :]))


def test_an_earlier_target_in_every_run_is_faster():
    (pair,) = trained(gru=EARLY, lstm=LATE).pairs
    assert (pair.ratio, pair.verdict, pair.never) == (pytest.approx(0.5), "faster", (0, 0))
    assert pair.p == pytest.approx(2 / 2**8)


def test_p_is_adjusted_over_all_pairs():
    found = trained(rnn=LATE, gru=EARLY, lstm=EARLY)
    assert [pair.p for pair in found.pairs] == pytest.approx([2 / 2**8, 2 / 2**8, 1])
    assert [pair.p_adjusted for pair in found.pairs] == pytest.approx([6 / 2**8, 6 / 2**8, 1])
    assert [p.verdict for p in found.pairs] == ["slower", "slower", "no difference shown"]


def test_a_third_cell_that_learns_nothing_changes_no_pair():
    alone = trained(gru=EARLY, lstm=LATE)
    nothing = [run(seed, 1.0, 1.0, 1.0, 1.0) for seed in range(8)]
    beside = trained(rnn=nothing, gru=EARLY, lstm=LATE)
    assert beside.target_dev_wer == alone.target_dev_wer == 0.1
    assert (beside.variants["rnn"].reached, beside.variants["rnn"].attempted) == (0, 8)
    (pair,) = [p for p in beside.pairs if (p.a, p.b) == ("gru", "lstm")]
    assert (pair.ratio, pair.p) == (alone.pairs[0].ratio, alone.pairs[0].p)


def test_diverged_runs_count_as_late():
    blown = [run(seed, 0.5, 0.1, 0.1, failed=seed >= 3) for seed in range(8)]
    found = trained(gru=blown, lstm=LATE)
    (pair,) = found.pairs
    assert (pair.runs, pair.never, pair.verdict) == (8, (5, 0), "no difference shown")
    gru = found.variants["gru"]
    assert (gru.reached, gru.attempted) == (3, 8)
    assert gru.median_steps_to_target is None


def test_runs_without_an_epoch_are_no_pair():
    early = [run(1, 0.5, 0.1), run(2, 0.5, 0.1), run(3, failed=True)]
    assert trained(gru=early, lstm=[run(3, failed=True)]).pairs == ()


def test_a_run_that_stops_before_the_target_counts_as_late():
    stopped = [run(s, 0.5, 0.5) if s < 4 else run(s, 0.5, 0.5, 0.5, 0.1) for s in range(8)]
    arrived = [run(s, 0.5, 0.5, 0.5, 0.5, 0.1) for s in range(8)]
    (pair,) = trained(rnn=stopped, gru=arrived).pairs
    assert pair.never == (4, 0)
    assert pair.ratio > 1  # four runs count as twice 500 steps


def test_a_model_is_judged_by_characters_where_all_words_are_wrong():
    poor = run(1, 1.05, 0.92)
    found = trained(rnn=[poor], gru=[run(1, 0.5, 0.4)])
    assert found.target_dev_wer == 0.92
    found = trained(rnn=[with_cer(poor, 0.8, 0.8)], gru=[run(1, 0.5, 0.4)])
    assert found.target_dev_wer == 0.4


def test_empty_output_does_not_reach_a_target():
    """It deletes every word; a poor model may make more errors."""
    poor, good = (
        with_cer(r, 1.0, 0.5, 0.5) for r in (run(1, 1.0, 1.05, 0.98), run(1, 1, 0.9, 0.8))
    )
    assert trained(rnn=[poor], gru=[good]).target_dev_wer == 0.98
    last = replace(poor.curve[2], dev_wer=1.02)
    poor = replace(poor, curve=(*poor.curve[:2], last))
    found = trained(rnn=[poor], gru=[good])
    assert found.target_dev_wer == 1.02
    assert found.variants["gru"].steps_to_target == (200,)
    assert found.variants["rnn"].steps_to_target == (300,)


def test_runs_without_cer_are_not_taken_for_empty_output():
    poor = with_cer(run(1, 0.9, 0.2), None, None)
    assert trained(rnn=[poor], gru=[run(1, 0.5, 0.1)]).target_dev_wer == 0.2


def test_without_any_learning_there_is_no_target():
    found = trained(gru=[run(1, 1.0)], lstm=[run(1, 0.95)])
    assert (found.target_dev_wer, found.pairs) == (None, ())


def test_the_folds_of_a_seed_are_not_independent():
    """They start from the same weights: six folds of one seed are one piece of evidence."""
    folds = "abcdef"
    early = [run(1, 0.5, 0.1, 0.1, fold=fold) for fold in folds]
    late = [run(1, 0.9, 0.5, 0.1, fold=fold) for fold in folds]
    (pair,) = trained(gru=early, lstm=late).pairs
    assert (pair.runs, pair.seeds, pair.p) == (6, 1, 1.0)
    assert pair.ratio == pytest.approx(2 / 3)


def test_when_half_of_a_variant_diverged_the_other_sets_the_target():
    half = [run(0, 0.6), run(1, 0.6, failed=True)]
    (pair,) = trained(gru=[run(0, 0.1), run(1, 0.1)], lstm=half).pairs
    assert (pair.target_dev_wer, pair.never) == (0.1, (0, 2))


@pytest.mark.parametrize(
    ("dev_wer", "expected"),
    [
        ((0.9, 0.80, 0.51, 0.46), True),
        ((0.9, 0.15, 0.146, 0.145), False),  # less than 5 % of itself
        ((0.9, 0.015, 0.012, 0.008), False),  # less than a point
        ((0.9, 0.80, 0.46, 0.46), False),  # no new minimum
        ((0.8, 0.5), True),
        ((0.5,), False),
    ],
)
def test_still_improving_at_the_last_evaluation(dev_wer, expected):
    result = run(1, *dev_wer)
    assert improving(result) == expected
    flat = run(2, 0.5, 0.5, 0.5)
    assert trained(gru=[result]).variants["gru"].improving == expected
    assert not trained(gru=[result, flat]).variants["gru"].improving  # in half of the runs


def test_curves_are_bands_over_the_runs_that_got_so_far():
    found = trained(gru=[run(1, 0.9, 0.3), run(2, 0.7), run(3, 0.8)])
    first, second = found.variants["gru"].curve
    assert (first.runs, second.runs) == (3, 1)
    assert first.dev_wer is not None
    assert (first.dev_wer.low, first.dev_wer.median, first.dev_wer.high) == (0.7, 0.8, 0.9)
    assert (first.steps, second.steps) == (100, 200)


def test_learning_rates_are_summed_up_over_folds():
    good = [replace(run(1, 0.5), learning_rate=rate) for rate in (0.2, 0.1, 0.1)]
    wers = [replace(r.model, dev_wer=wer) for r, wer in zip(good, (0.3, 0.4, 0.2), strict=True)]
    trials = [replace(r, model=model) for r, model in zip(good, wers, strict=True)]
    trials.append(replace(run(1, failed=True), learning_rate=0.2))
    low, high = sensitivity({"gru": trials})["gru"]
    assert (low.learning_rate, low.runs, low.failed) == (0.1, 2, 0)
    assert low.dev_wer is not None
    assert (low.dev_wer.low, low.dev_wer.median) == (0.2, pytest.approx(0.3))
    assert (high.learning_rate, high.runs, high.failed) == (0.2, 2, 1)


@pytest.mark.parametrize(
    ("differences", "p"),
    [([], 1.0), ([1.0], 1.0), ([1.0] * 6, 2 / 64), ([1.0, -1.0], 1.0), ([3.0, 1.0], 0.5)],
)
def test_flip_test_counts_signs(differences, p):
    assert flip_test(differences) == pytest.approx(p)
