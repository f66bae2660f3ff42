"""The report's first sections: what was asked, what came out, and on what terms."""

from typing import Any

from speechgru.compare.cost import NOISE, doubtful, on_road
from speechgru.compare.document import Block, Bullets, Section, Table, Text, Verdict
from speechgru.compare.question import CELL
from speechgru.compare.wording import (
    MATCHED,
    NO_DIFFERENCE,
    capital,
    listed,
    percent,
    plural,
    short_path,
    signed,
    told,
)

Values = dict[str, Any]


def answer(results: Values) -> Section:
    question, section = results["question"], Section("The question and the answer")
    section.blocks.append(
        Text(
            f"{len(question['variants'])} variants of one recipe differ in `{question['vary']}`. "
            f"They are trained on {_trained(question)}{_hours(results)}. Word error rates (WER: "
            "words wrong, left out and added, in 100 words said) are measured on "
            f"{_heard(results)}."
        )
    )
    if results["pending"]:
        done, left = (sum(row["runs"] for row in results["systems"]), len(results["pending"]))
        total = plural(done + left + len(results["failures"]), "run")
        section.blocks.append(
            Verdict(
                f"Not finished: {left} of {total} are still to come.", "What follows is so far."
            )
        )
    section.blocks.append(_summary(results))
    if _single(results):
        section.blocks.append(
            Text("One training stands for a variant here: another seed may turn the answer.")
        )
    section.blocks += [*_failures(results), *_few_speakers(results)]
    if results["pairs"]:
        section.blocks += [
            Bullets(told(results["pairs"])), *_by_characters(results), *_choice(results)
        ]  # fmt: skip
    if results["pairs"] and not question["learning_rates"] and question["vary"] == CELL:
        section.blocks.append(
            Text(
                "One learning rate served all cells and was tuned for none of them: tuning "
                "(`--tune lr`) may change their order."
            )
        )
    scored = sum("wer" in row for row in results["systems"])
    if results["pairs"] and len(results["pairs"]) < scored * (scored - 1) // 2:
        section.blocks.append(Text("Variants that read different words are not tested in pairs."))
    if len(results["pairs"]) > 1:
        section.blocks.append(
            Text(
                "Several tests raise more false alarms than one, so verdicts use p adjusted for "
                "the number of pairs (Holm's method); intervals are of one pair by itself. “No "
                "difference shown” does not mean equal: this much data cannot tell."
            )
        )
    return section


def _single(results: Values) -> bool:
    """Whether a single training stands for some variant in a pair."""
    return any(1 in pair["seeds"] for pair in results["pairs"])


def _few_speakers(results: Values) -> list[Block]:
    """Utterances stand for others of the same people, however many there are."""
    if not any(pair["unit"] == "utterance" for pair in results["pairs"]):
        return []
    counts = {row["speakers"] for row in results["systems"] if row.get("speakers")}
    if len(counts) != 1:
        return []
    speakers = plural(counts.pop(), "speaker")
    words = (
        f"The test has {speakers}, too few to stand for others: intervals and verdicts are about "
        "other utterances of the same people."
    )
    return [Text(words)]


def _failures(results: Values) -> list[Block]:
    """A mean over the runs that came to something must not hide the others."""
    lost = {row["name"]: row["failed_runs"] + row["collapsed_runs"] for row in results["systems"]}
    counts = [f"{plural(count, 'run')} of {name}" for name, count in lost.items() if count]
    if not counts:
        return []
    words = f"{listed(counts)} failed or learned nothing: see how they train."
    return [Verdict("Not every run came to something.", words)]


def _trained(question: Values) -> str:
    data = question["recipe"]["data"]
    if not question["folds"]:
        return listed([short_path(path) for path in data["train"]])
    everyone = [*data["train"], data["dev"], *filter(None, [question["test"]])]
    return f"{listed([short_path(path) for path in dict.fromkeys(everyone)])} together"


def _hours(results: Values) -> str:
    """On average over all: where variants trained on other sound, the terms say so."""
    rows = results["systems"]
    hours = [hours for row in rows for hours in row["train_hours"].values()]
    if not hours:
        return ""
    counts = [c for row in rows for c in row["train_utterances"].values() if c is not None]
    count = f"{sum(counts) / len(counts):,.0f} utterances, " if counts else ""
    return f" ({count}{sum(hours) / len(hours):.2g} hours of sound a training)"


def _heard(results: Values) -> str:
    question = results["question"]
    if question["folds"]:
        return (
            f"each of {len(results['folds'])} speakers in turn, by models that were trained "
            "without that speaker; the words of all are pooled"
        )
    if question["test"]:
        return f"{short_path(question['test'])}, which was used for no choice"
    return (
        f"{short_path(question['recipe']['data']['dev'])}, on which the best epoch was chosen too, "
        "since no test was given: rates on new speech will be higher"
    )


def _summary(results: Values) -> Verdict:
    """Who has the lowest WER, and from whom that is shown to differ."""
    if not results["pairs"]:
        return Verdict("No two variants have results that can be compared.")
    best, worse = _lowest(results), _worse(results)
    found: dict[str, list[str]] = {"better": [], "equivalent": [], NO_DIFFERENCE: []}
    for other, pair in _others(results, best["name"]).items():
        shown = "better" if pair["verdict"] in ("better", "worse") else pair["verdict"]
        found[shown].append(other)
    rate = f"{percent(best['wer_mean'])} %{_without(results, best)}"
    parts = []
    if found["better"]:
        parts.append(f"it is shown to be better than {listed(found['better'])}")
    if found["equivalent"]:
        parts.append(f"it is equivalent to {listed(found['equivalent'])}")
    if len(found["better"]) == len(results["question"]["variants"]) - 1:
        as_far = ", as far as single trainings tell" * _single(results)
        lead = f"{best['name']} is the best of these{as_far}."
        return Verdict(lead, f"Its WER is {rate}; {parts[0]}.")
    rates = {row["name"]: row["wer_mean"] for row in results["systems"] if "wer" in row}
    near, far = ([f"{name} ({percent(rates[name])} %)" for name in found[NO_DIFFERENCE]
                  if (name in worse) == out] for out in (False, True))  # fmt: skip
    if near:
        parts.append(f"that it is lower than {listed(near)} may be chance")
    if far:
        parts.append(f"{listed(far)} is shown to be worse than others, though not than it")
    words = f"{best['name']} has the lowest WER, {'; '.join([rate, *parts])}."
    open_ = [best["name"], *(o for o in _others(results, best["name"]) if o not in worse)]
    if len(open_) == 1:
        return Verdict("No variant is shown to be the best.", words)
    among = [p for p in results["pairs"] if p["a"] in open_ and p["b"] in open_]
    if all(pair["verdict"] == "equivalent" for pair in among):
        margin = max(pair["margin"] for pair in among)
        return Verdict(f"Equivalent within {100 * margin:.1f} points: {listed(open_)}.", words)
    return Verdict(f"Undecided between {listed(open_)}.", words)


def _by_characters(results: Values) -> list[Block]:
    words, characters = results["pairs"], results["character_pairs"]
    if [pair["verdict"] for pair in words] == [pair["verdict"] for pair in characters]:
        return [Text("Character error rates (CER) show the same.")]
    return [Text("By character error rates (CER):"), Bullets(told(characters))]


def _choice(results: Values) -> list[Block]:
    """For who must choose before more is known: whose estimate is lowest, and what any other that
    is not shown to be worse may cost, in errors and in time."""
    lowest, worse = _lowest(results), _worse(results)
    best = lowest["name"]
    others = {o: pair for o, pair in _others(results, best).items() if o not in worse}
    if not others:
        return []
    gaps = []
    for other, pair in others.items():
        sign = 1 if pair["a"] == other else -1
        low, high = sorted(sign * end for end in pair["ci95"])
        gap = signed(sign * pair["difference"])
        gaps.append(f"{other} {gap} ({signed(low)} to {signed(high)})")
    words = [
        f"Its WER is the lowest found{_without(results, lowest)}; to be the lowest is partly luck.",
        f"The others' WER minus its own, in points (95 % intervals): {listed(gaps)}.",
    ]
    costs = results["timings"]["cost"]
    if costs.keys() >= {best, *others} and not doubtful(costs[name] for name in (best, *others)):
        rtf = {name: on_road(costs[name])["rtf_1_thread"] for name in (best, *others)}
        quicker = [
            f"{other} {rtf[other] / rtf[best]:.2f}"
            for other in others
            if rtf[other] < (1 - NOISE) * rtf[best]
        ]
        if quicker:
            words.append(
                "Transcribing with this machine's fastest kernels and one thread takes, × "
                f"{best}'s time: {listed(quicker)}."
            )
    return [Verdict(f"If you must choose now, take {best}.", " ".join(words))]


def _worse(results: Values) -> set[str]:
    """Who is shown to be worse than somebody."""
    return {
        pair["a"] if pair["verdict"] == "worse" else pair["b"]
        for pair in results["pairs"]
        if pair["verdict"] in ("better", "worse")
    }


def _lowest(results: Values) -> Values:
    """Of those that are compared: WER of other words is another matter."""
    compared = {name for pair in results["pairs"] for name in (pair["a"], pair["b"])}
    rows = [row for row in results["systems"] if row["name"] in compared]
    return min(rows, key=lambda row: float(row["wer_mean"]))


def _without(results: Values, system: Values) -> str:
    """Which seeds are not in a variant's WER, since a run of theirs failed."""
    if not system["failed_runs"]:
        return ""
    return f" (over {len(system['wer'])} of {results['question']['seeds']} seeds: runs failed)"


def _others(results: Values, name: str) -> dict[str, Values]:
    """Whom `name` was compared with → the pair."""
    return {
        pair["b"] if pair["a"] == name else pair["a"]: pair
        for pair in results["pairs"]
        if name in (pair["a"], pair["b"])
    }


def terms(results: Values) -> Section:
    section = Section("The terms")
    section.blocks += [Bullets(_items(results)), _variants(results)]
    match = results["question"]["match"]
    if not _same_data(results):
        hours = {row["name"]: list(row["train_hours"].values()) for row in results["systems"]}
        means = [f"{name} {sum(each) / len(each):.4g}" for name, each in hours.items() if each]
        section.blocks.append(
            Verdict(
                "They did not train on the same utterances.",
                f"Hours of sound, on average: {listed(means)}. Which utterances are too short for "
                f"their texts depends on `{results['question']['vary']}`.",
            )
        )
    if len(results["made_by"]) > 1:
        made = [f"{plural(count, 'run')} by {by}" for by, count in results["made_by"].items()]
        section.blocks.append(
            Verdict(
                "Not all runs were trained by the same means.",
                f"{capital(listed(made))}: on a GPU sums are taken in bfloat16, and versions may "
                "differ in more than speed.",
            )
        )
    outside = [row["name"] for row in results["systems"] if not row["within"]]
    if outside:
        section.blocks.append(
            Text(
                f"No width of {listed(outside)} meets equal {MATCHED.get(match, match)} within the "
                "tolerance (1 %; times 10 %); the nearest was taken."
            )
        )
    return section


def _same_data(results: Values) -> bool:
    """Whether equally numbered runs of all variants were trained on as many utterances (where that
    is known) and as much sound."""
    heard: dict[tuple[str, str], set[float]] = {}
    for row in results["systems"]:
        for what in ("train_hours", "train_utterances"):
            for run, value in row[what].items():
                if value is not None:
                    heard.setdefault((what, run), set()).add(value)
    return all(len(values) == 1 for values in heard.values())


def _items(results: Values) -> list[str]:
    """What holds for all, but for the setting that differs."""
    question, key = results["question"], results["question"]["vary"]
    recipe, match, rates = question["recipe"], question["match"], question["learning_rates"]
    model, training, seeds = recipe["model"], recipe["training"], question["seeds"]
    shape = {
        "model.layers": plural(model["layers"], "recurrent layer"),
        "model.bidirectional": "two-way" if model["bidirectional"] else "one-way",
    }
    average = (
        f", or the mean of {training['average']} epochs' weights where dev prefers it"
        if training["average"] else ""
    )  # fmt: skip
    each = "for each variant and held-out speaker" if question["folds"] else "for each variant"
    said = {
        "": f"everything but `{key}` is the same for all: "
        + ("utterances and their order, " if _same_data(results) else "")
        + "augmentation, schedule, decoder",
        "training.seed": f"{plural(seeds, 'training')} {each}"
        + (f", seeds 1 to {seeds}" if seeds > 1 else ", seed 1"),
        "model": ", ".join(text for name, text in shape.items() if name != key),
        "training.epochs": f"{training['epochs']} epochs; the best one by dev WER{average}",
        "model.hidden_size": "equal width: parameters and work differ" if match == "width"
        else f"the width of each variant is solved for the {MATCHED[match]} of the recipe's own "
        f"{model['cell']} of hidden size {model.get('hidden_size') or model['width']}",
        "training.learning_rate": "the learning rate of each variant was chosen on dev among "
        f"{', '.join(f'{rate:g}' for rate in rates)}" if rates
        else f"learning rate {training['learning_rate']:g} for all, tuned for none of them: a "
        "variant that wants another is at a disadvantage",
    }  # fmt: skip
    last = (
        "widths and learning rates were on disk before "
        + ("a held-out speaker" if question["folds"] else "test")
        + " was touched; every model was scored on it once"
    )
    unseen = question["test"] is not None or question["folds"] is not None
    return [text for name, text in said.items() if name != key] + [last] * unseen


def _variants(results: Values) -> Table:
    question = results["question"]
    matched, tuned = question["match"] != "width", bool(question["learning_rates"])
    rows = [
        [
            row["name"], str(row["width"]), f"{row['parameters']:,}",
            f"{row['macs_per_second'] / 1e6:.2f}",
            *([f"{signed(row['ratio'] - 1, 1)} %"] if matched else []),
            *([", ".join(f"{r:g}" for r in row["learning_rates"]) or "not chosen yet"] * tuned),
        ]
        for row in results["systems"]
    ]  # fmt: skip
    head = ["variant", "width", "parameters", "million MACs a second of audio",
            *([f"off equal {question['match']}"] if matched else []),
            *(["learning rate"] * tuned)]  # fmt: skip
    return Table("The variants (MACs: multiply-accumulates)", head, rows)
