"""The article's claims where cells are compared: each with its evidence, and a verdict no surer
than that.

The article is the common "Difference between RNN, LSTM and GRU": plain networks forget because
gradients vanish, gates cure it, and a GRU is the cheaper, easier and, for speech, better choice.
Verdicts: "supported here", "supported in part", "contradicted here", "undecided here", "not tested
here".
"""

from typing import Any

from speechgru.compare.cost import NOISE, doubtful, on_road
from speechgru.compare.trainability import smallest_p
from speechgru.compare.wording import MATCHED, listed, percent, plural, signed
from speechgru.scoring.significance import LEVEL, p_text

Values = dict[str, Any]
SUPPORTED, PARTLY, AGAINST = "supported here", "supported in part", "contradicted here"
OPEN, UNTESTED = "undecided here", "not tested here"

TIMES = (
    ("training", "seconds_per_epoch"),
    ("transcribing", "rtf_1_thread"),
    ("transcribing on 2 threads", "rtf_2_threads"),
)

WEAK = "words need a short memory, so this is a weak test; `speechgru probe` has others"

VANISHING = "A plain RNN suffers from vanishing gradients"
CURED = "Gates (LSTM, GRU) cure it"
CHEAPER = "A GRU is cheaper than an LSTM"
EASIER = "A GRU is easier to train and converges faster than an LSTM"
LONG = "GRU and LSTM keep long dependencies that an RNN loses"
LOSES = "On very long dependencies a GRU may lose to an LSTM"
BEST = "A GRU is the best cell for speech"
ORDER = (VANISHING, CURED, CHEAPER, EASIER, LONG, LOSES, BEST)


def quality_claims(results: Values) -> list[Values]:
    """The claims that errors and updates decide; they repeat exactly."""
    claims = [_vanishing, _cured, _easier, _long, _loses, _best]
    return [_qualified(claim(results), results) for claim in claims]


def timing_claims(results: Values, timings: Values) -> list[Values]:
    """The claim that this machine's clock bears on."""
    return [_cheaper(results, timings)]


def all_claims(results: Values) -> list[Values]:
    """Every claim in the article's order."""
    found = {c["claim"]: c for c in [*results["claims"], *results["timings"]["claims"]]}
    return [found[name] for name in ORDER]


def _qualified(claim: Values, results: Values) -> Values:
    """A verdict for or against, with the terms that it does not reach beyond."""
    if claim["verdict"] not in (SUPPORTED, PARTLY, AGAINST):
        return claim
    limits = []
    once = [row["name"] for row in results["systems"] if len(row.get("seeds", [])) == 1]
    if told := [cell for cell in once if cell in ("rnn", "gru", "lstm")]:
        limits.append(f"with one training of {listed(told)}, which another seed may turn")
    if not results["question"]["learning_rates"]:
        limits.append("at one learning rate for all, tuned for none of them")
    return claim | {"words": "; ".join([claim["words"], *limits])}


def _claim(claim: str, verdict: str, words: str, evidence: list[str], figure: str) -> Values:
    return {
        "claim": claim, "verdict": verdict, "words": words, "evidence": evidence, "figure": figure
    }  # fmt: skip


def _missing(results: Values, *cells: str) -> str | None:
    """Why a claim about these cells cannot be looked at, if it cannot."""
    scored = [row["name"] for row in results["systems"] if "wer" in row]
    lost = [cell for cell in cells if cell not in scored]
    return f"this comparison has no complete result for {' or '.join(lost)}" if lost else None


def _pair(pairs: list[Values], a: str, b: str) -> Values | None:
    """The pair, said of `a` (whichever way round it was computed)."""
    turned = {"better": "worse", "worse": "better", "faster": "slower", "slower": "faster"}
    for pair in pairs:
        if (pair["a"], pair["b"]) == (a, b):
            return pair
        if (pair["a"], pair["b"]) == (b, a):
            return pair | {"verdict": turned.get(pair["verdict"], pair["verdict"])}
    return None


def _system(results: Values, name: str) -> Values:
    return next(row for row in results["systems"] if row["name"] == name)


def _vanishing(results: Values) -> Values:
    if reason := _missing(results, "rnn"):
        return _claim(VANISHING, UNTESTED, reason, [], "")
    words = (
        "the size of a whole gradient does not tell how far back it reaches, and falls with the "
        "loss; `speechgru probe` measures that"
    )
    return _claim(VANISHING, UNTESTED, words, [], "gradients")


def _cured(results: Values) -> Values:
    gated = [cell for cell in ("gru", "lstm") if not _missing(results, "rnn", cell)]
    if not gated:
        return _claim(CURED, UNTESTED, _missing(results, "rnn", "gru") or "", [], "")
    pairs = [(cell, _pair(results["pairs"], cell, "rnn")) for cell in gated]
    evidence = [pair["sentence"] for _, pair in pairs if pair]
    better = [cell for cell, pair in pairs if pair and pair["verdict"] == "better"]
    worse = [cell for cell, pair in pairs if pair and pair["verdict"] == "worse"]
    told = [f"{listed(better)} made fewer errors than rnn"] * bool(better)
    told += [f"{listed(worse)} made more"] * bool(worse)
    if not told:
        told = ["no gated cell was shown to differ from rnn, which does not make them equal"]
    words = f"{', '.join(told)}; what gradients do does not follow from error rates"
    return _claim(CURED, UNTESTED, words, evidence, "pairs")


def _cheaper(results: Values, timings: Values) -> Values:
    if reason := _missing(results, "gru", "lstm"):
        return _claim(CHEAPER, UNTESTED, reason, [], "")
    gru, lstm = _system(results, "gru"), _system(results, "lstm")
    evidence = [
        f"{what}: gru {gru[key]:,.0f}, lstm {lstm[key]:,.0f} (ratio {gru[key] / lstm[key]:.2f})"
        for what, key in (
            ("width", "width"), ("parameters", "parameters"),
            ("multiply-accumulates a second of audio", "macs_per_second"),
        )
    ]  # fmt: skip
    costs = timings["cost"]
    match = results["question"]["match"]
    if match in ("time", "train-time"):
        words = f"their widths were solved for equal {MATCHED[match]}"
        return _claim(CHEAPER, UNTESTED, words, evidence, "cost")
    if "gru" not in costs or "lstm" not in costs:
        words = f"counts alone, with {_terms_of(match)}; no times were measured"
        ratio = gru["macs_per_second"] / lstm["macs_per_second"]
        verdict = SUPPORTED if match == "width" and ratio < 1 - NOISE else UNTESTED
        return _claim(CHEAPER, verdict, words, evidence, "cost")
    ratios = []
    for backend, kernel in (("unroll", "generic"), ("fastest", "fastest")):
        for what, key in TIMES:
            a, b = (on_road(costs[name], backend)[key] for name in ("gru", "lstm"))
            ratios.append(a / b)
            evidence.append(f"{what}, {kernel} kernel: gru takes {a / b:.2f} × the lstm's time")
    terms = f"with {_terms_of(match)}, on this machine, one model each, medians of 5"
    if doubt := doubtful(costs[name] for name in ("gru", "lstm")):
        return _claim(CHEAPER, OPEN, f"{doubt}, {terms}", evidence, "cost")
    if max(ratios) < 1 - NOISE:
        return _claim(CHEAPER, SUPPORTED, f"faster in every measure, {terms}", evidence, "cost")
    if min(ratios) > 1 + NOISE:
        return _claim(CHEAPER, AGAINST, f"slower in every measure, {terms}", evidence, "cost")
    words = f"neither is {100 * NOISE:.0f} % faster in every measure, {terms}"
    if match == "params":
        words += "; at equal widths, which the claim may mean, a GRU has fewer parameters"
    return _claim(CHEAPER, OPEN, words, evidence, "cost")


def _terms_of(match: str) -> str:
    return "equal widths" if match == "width" else f"widths solved for equal {MATCHED[match]}"


def _easier(results: Values) -> Values:
    if reason := _missing(results, "gru", "lstm"):
        return _claim(EASIER, UNTESTED, reason, [], "")
    training = results["trainability"]
    evidence = [_reached(name, training) for name in ("gru", "lstm")]
    for name in ("gru", "lstm"):
        for row in results["learning_rates"].get(name, []):
            wer = "" if row["dev_wer"] is None else f"dev WER {percent(row['dev_wer'])} %, "
            lost = f"{row['failed']} of {row['runs']} failed"
            evidence.append(f"{name} at learning rate {row['learning_rate']:g}: {wer}{lost}")
    pair = _pair(training["pairs"], "gru", "lstm")
    if pair is None:
        return _claim(EASIER, UNTESTED, "no run of one seed with both cells", evidence, "curves")
    ratio = pair["ratio"] if pair["a"] == "gru" else 1 / pair["ratio"]
    p = pair["p_adjusted"]
    figures = (
        f"gru needed {ratio:.2f} × the lstm's updates to dev WER "
        f"{percent(pair['target_dev_wer'])} % (geometric mean of "
        f"{plural(pair['runs'], 'pair')} of runs, {p_text(p)} after Holm)"
    )
    never = dict(zip((pair["a"], pair["b"]), pair["never"], strict=True))
    if any(never.values()):
        figures += (
            f"; {never['gru']} of the gru's and {never['lstm']} of the lstm's runs never arrived "
            "and count as late"
        )
    verdict = {"faster": SUPPORTED, "slower": AGAINST}.get(pair["verdict"], OPEN)
    blown = [training["systems"][name]["diverged"] for name in ("gru", "lstm")]
    if verdict == SUPPORTED and blown[0] > blown[1]:
        verdict, figures = PARTLY, f"{figures}, but more of its runs diverged"
    if verdict == OPEN and smallest_p(pair["seeds"]) * len(training["pairs"]) >= LEVEL:
        verdict = UNTESTED
        figures += (
            f"; with {plural(pair['seeds'], 'seed')} of {len(training['systems'])} cells this test "
            "can show no difference at 5 %"
        )
    return _claim(EASIER, verdict, figures, evidence, "curves")


def _reached(name: str, training: Values) -> str:
    values, target = training["systems"][name], training["target_dev_wer"]
    diverged = f"{values['diverged']} diverged"
    if target is None:
        return f"{name}: learned nothing, {diverged}"
    median = values["median_updates_to_target"]
    after = "most never" if median is None else f"after {median:,.0f} updates (median)"
    reached = f"{values['reached']} runs reached dev WER {percent(target)} %"
    return f"{name}: {reached}, {after}; {diverged}"


def _long(results: Values) -> Values:
    if reason := _missing(results, "rnn"):
        return _claim(LONG, UNTESTED, reason, [], "")
    gated = [cell for cell in ("gru", "lstm") if not _missing(results, cell)]
    if results["by_length"] is None or not gated:
        return _claim(LONG, UNTESTED, "too little to cut by length", [], "")
    found = [_by_length(results["by_length"], cell, "rnn") for cell in gated]
    verdicts, words, evidence = zip(*found, strict=True)
    agreed = PARTLY if set(verdicts) == {SUPPORTED} else OPEN
    verdict = AGAINST if AGAINST in verdicts else agreed
    alike = {said: [c for c, w in zip(gated, words, strict=True) if w == said] for said in words}
    told = _longest(results) + "; ".join(said.format(listed(c)) for said, c in alike.items())
    return _claim(
        LONG, verdict, f"{told}; {WEAK}", [line for lines in evidence for line in lines], "lengths"
    )


def _loses(results: Values) -> Values:
    if reason := _missing(results, "gru", "lstm"):
        return _claim(LOSES, UNTESTED, reason, [], "")
    if results["by_length"] is None:
        return _claim(LOSES, UNTESTED, "too little to cut by length", [], "")
    found, words, evidence = _by_length(results["by_length"], "lstm", "gru")
    verdict = PARTLY if found == SUPPORTED else OPEN  # who wins here may lose elsewhere
    told = _longest(results) + words.format("lstm")
    return _claim(LOSES, verdict, f"{told}; {WEAK}", evidence, "lengths")


def _longest(results: Values) -> str:
    low, high = results["by_length"]["seconds"][-1]
    return f"on the longest third ({low:.1f} to {high:.1f} s) "


def _by_length(cut: Values, a: str, b: str) -> tuple[str, str, list[str]]:
    """Whether `a` keeps more over long utterances than `b`: for it speaks a lead on the longest
    third that is also larger than on the shortest, against it the opposite of both. With words, in
    which {} stands for `a`, and evidence."""
    longest = _pair(cut["pairs_on_longest"], a, b)
    growth = _pair(cut["growth"], a, b)
    if longest is None or growth is None:
        return OPEN, f"{{}} and {b} are not tested", []
    lead = [other - own for own, other in zip(cut["wer"][a], cut["wer"][b], strict=True)]
    evidence = [
        f"longest third: {longest['sentence']}",
        f"{a}'s lead over {b} is {', '.join(signed(gap) for gap in lead)} points on the shortest, "
        f"middle and longest third: longest less shortest {signed(lead[-1] - lead[0])}, "
        f"{p_text(growth['p_adjusted'])} after Holm",
    ]
    fewer = {"better": "fewer errors", "worse": "more errors"}.get(longest["verdict"])
    if fewer is None:
        return OPEN, f"no difference of {{}} from {b} is shown", evidence
    words = f"{{}} made {fewer} than {b}"
    if growth["verdict"] == longest["verdict"]:
        verdict = SUPPORTED if longest["verdict"] == "better" else AGAINST
        return verdict, f"{words}, and the difference is larger than on the shortest", evidence
    words += ", but nothing shows that the difference grows with the length: memory need not be why"
    return OPEN, words, evidence


def _best(results: Values) -> Values:
    if reason := _missing(results, "gru", "lstm", "rnn"):
        return _claim(BEST, UNTESTED, reason, [], "")
    others = [row["name"] for row in results["systems"] if "wer" in row and row["name"] != "gru"]
    pairs = [(name, _pair(results["pairs"], "gru", name)) for name in others]
    found = [(name, pair) for name, pair in pairs if pair]
    if not found:
        return _claim(BEST, UNTESTED, "nothing to compare gru with", [], "")
    evidence = [pair["sentence"] for _, pair in found]
    lost = [name for name, pair in found if pair["verdict"] == "worse"]
    won = [name for name, pair in found if pair["verdict"] == "better"]
    alike = [name for name, pair in found if pair["verdict"] == "equivalent"]
    rest = [name for name, _ in found if name not in (*won, *lost, *alike)]
    if lost:
        return _claim(BEST, AGAINST, f"gru made more errors than {listed(lost)}", evidence, "pairs")
    if not rest and not alike:
        words = f"gru made fewer errors than {listed(won)}; nothing is said of cells not tried"
        return _claim(BEST, SUPPORTED, words, evidence, "pairs")
    words = f"better than {listed(won)}, but " if won else ""
    words += " and ".join(
        [f"equivalent to {listed(alike)}"] * bool(alike)
        + [f"no difference shown from {listed(rest)}"] * bool(rest)
    )
    least = max((pair["minimum_detectable"] for name, pair in found if name in rest), default=0.0)
    hidden = [
        name
        for name, pair in found
        if name in rest and pair["minimum_detectable"] >= _system(results, name)["wer_mean"]
    ]
    if hidden:
        words += f"; even a gru without errors would hardly be told from {listed(hidden)}"
    elif rest:
        words += f"; a true difference of {100 * least:.2f} points would be found 8 times in 10"
    return _claim(BEST, OPEN, words, evidence, "pairs")
