"""How fast and how surely variants train, from the courses of their trainings."""

import pytest
from asking import EARLY, LATE, run, trained

from speechgru.compare.trainability import flip_test


def test_an_earlier_target_in_every_run_is_faster():
    (pair,) = trained(gru=EARLY, lstm=LATE)["pairs"]
    assert (pair["ratio"], pair["verdict"], pair["never"]) == (pytest.approx(0.5), "faster", [0, 0])
    assert pair["p"] == pytest.approx(2 / 2**8)


def test_a_third_cell_that_learns_nothing_changes_no_pair():
    alone = trained(gru=EARLY, lstm=LATE)
    nothing = [run(seed, 1.0, 1.0, 1.0, 1.0) for seed in range(8)]
    beside = trained(rnn=nothing, gru=EARLY, lstm=LATE)
    assert beside["target_dev_wer"] == alone["target_dev_wer"] == 0.1
    assert beside["systems"]["rnn"]["reached"] == "0 of 8"
    pair = next(p for p in beside["pairs"] if (p["a"], p["b"]) == ("gru", "lstm"))
    assert (pair["ratio"], pair["p"]) == (alone["pairs"][0]["ratio"], alone["pairs"][0]["p"])


def test_runs_that_diverged_are_late_not_absent():
    blown = [run(seed, 0.5, 0.1, 0.1, failed=seed >= 3) for seed in range(8)]
    found = trained(gru=blown, lstm=LATE)
    (pair,) = found["pairs"]
    assert (pair["runs"], pair["never"], pair["verdict"]) == (8, [5, 0], "no difference shown")
    assert found["systems"]["gru"]["reached"] == "3 of 8"
    assert found["systems"]["gru"]["median_updates_to_target"] is None


def test_giving_up_early_is_not_arriving_early():
    stopped = [run(s, 0.5, 0.5) if s < 4 else run(s, 0.5, 0.5, 0.5, 0.1) for s in range(8)]
    arrived = [run(s, 0.5, 0.5, 0.5, 0.5, 0.1) for s in range(8)]
    (pair,) = trained(rnn=stopped, gru=arrived)["pairs"]
    assert pair["never"] == [4, 0]
    assert pair["ratio"] > 1  # four runs count as twice 500 updates


def test_words_may_all_be_wrong_where_letters_are_not():
    poor = run(1, 1.05, 0.92)
    found = trained(rnn=[poor], gru=[run(1, 0.5, 0.4)])
    assert found["target_dev_wer"] == 0.92
    poor["curve"][1]["dev_cer"] = poor["curve"][0]["dev_cer"] = 0.8
    assert trained(rnn=[poor], gru=[run(1, 0.5, 0.4)])["target_dev_wer"] == 0.4


def test_silence_does_not_reach_a_target():
    """A model that says nothing leaves out every word; a poor one may have more errors."""
    poor, good = run(1, 1.0, 1.05, 0.98), run(1, 1.0, 0.9, 0.8)
    for each in (poor, good):
        each["curve"][0]["dev_cer"] = 1.0
        each["curve"][1]["dev_cer"] = each["curve"][2]["dev_cer"] = 0.5
    found = trained(rnn=[poor], gru=[good])
    assert found["target_dev_wer"] == 0.98
    poor["curve"][2]["dev_wer"] = 1.02
    found = trained(rnn=[poor], gru=[good])
    assert found["target_dev_wer"] == 1.02
    assert found["systems"]["gru"]["updates_to_target"] == [200]
    assert found["systems"]["rnn"]["updates_to_target"] == [300]


def test_runs_without_cer_are_not_called_silent():
    poor = run(1, 0.9, 0.2)
    for row in poor["curve"]:
        del row["dev_cer"]
    assert trained(rnn=[poor], gru=[run(1, 0.5, 0.1)])["target_dev_wer"] == 0.2


def test_nothing_learned_by_anybody_is_no_target():
    found = trained(gru=[run(1, 1.0)], lstm=[run(1, 0.95)])
    assert (found["target_dev_wer"], found["pairs"]) == (None, [])


def test_the_folds_of_a_seed_are_not_independent():
    """They begin with the same weights: six folds of one seed are one piece of evidence."""
    folds = "abcdef"
    early = [run(1, 0.5, 0.1, 0.1, fold=fold) for fold in folds]
    late = [run(1, 0.9, 0.5, 0.1, fold=fold) for fold in folds]
    (pair,) = trained(gru=early, lstm=late)["pairs"]
    assert (pair["runs"], pair["seeds"], pair["p"]) == (6, 1, 1.0)
    assert pair["ratio"] == pytest.approx(2 / 3)


def test_of_a_variant_that_half_diverged_the_other_sets_the_target():
    half = [run(0, 0.6), run(1, 0.6, failed=True)]
    (pair,) = trained(gru=[run(0, 0.1), run(1, 0.1)], lstm=half)["pairs"]
    assert (pair["target_dev_wer"], pair["never"]) == (0.1, [0, 2])


@pytest.mark.parametrize(
    ("differences", "p"),
    [([], 1.0), ([1.0], 1.0), ([1.0] * 6, 2 / 64), ([1.0, -1.0], 1.0), ([3.0, 1.0], 0.5)],
)
def test_flip_test_counts_signs(differences, p):
    assert flip_test(differences) == pytest.approx(p)
