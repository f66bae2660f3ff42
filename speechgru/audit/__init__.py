"""What is in manifests, and what is wrong with them, before hours of training are spent.

    manifests → entries → measurements of every file → facts, problems → report · cleaned manifests

A kind of problem is a line in `kinds.KINDS` and the lines that find it.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from speechgru.audit import overlap
from speechgru.audit.audio_problems import audio_problems
from speechgru.audit.entries import Entry, OnProgress, measured, read_entries
from speechgru.audit.facts import Facts, ManifestFacts, manifest_facts
from speechgru.audit.kinds import KINDS, Kind, Problem
from speechgru.audit.text_problems import text_problems
from speechgru.cpus import cpu_count
from speechgru.errors import RecipeError
from speechgru.recipe import Recipe
from speechgru.text import Vocabulary
from speechgru.text.units import make_vocabulary

log = logging.getLogger(__name__)

__all__ = ["KINDS", "AuditReport", "Facts", "Kind", "ManifestFacts", "Problem", "audit"]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """The facts about some manifests and their problems, in the order of KINDS, then of manifests
    and lines; contradicted texts worst first."""

    facts: Facts
    problems: tuple[Problem, ...]

    def by_kind(self) -> dict[str, list[Problem]]:
        """Only kinds that occur, in the order of KINDS."""
        found: dict[str, list[Problem]] = {}
        for problem in self.problems:
            found.setdefault(problem.kind, []).append(problem)
        return found

    def to_json(self) -> dict[str, object]:
        return {
            "format": "speechgru-audit-1",
            "facts": self.facts.to_json(),
            "kinds": {kind: len(problems) for kind, problems in self.by_kind().items()},
            "problems": [problem.to_json() for problem in self.problems],
        }


def audit(
    manifests: Sequence[Path],
    recipe: Recipe | None = None,
    model: Path | None = None,
    threads: int = 0,
    on_progress: OnProgress = lambda done, total, name: None,
) -> AuditReport:
    """Decode every file of the manifests once, and check audio, texts, and what sets share.

    Args:
        manifests: in the order train, dev, test; see `overlap` for what the order means.
        recipe: whose text rule, features, `model.factor` and `data.max_seconds` apply; the
            defaults if None.
        model: run folder or model file: its settings replace the recipe's, and texts that it
            contradicts are problems, worst first.
        threads: that decode audio; 0: one per CPU.
        on_progress: called with the number of files measured, of all, and a file's name.

    Raises ManifestError for a manifest that cannot be opened or has no lines, CheckpointError for
    a model that cannot be loaded.
    """
    recipe, recognizer = recipe or Recipe(), None
    if model is not None:
        from speechgru.audit.contradictions import contradictions  # with torch
        from speechgru.recognizer import Recognizer

        recognizer = Recognizer.load(model, decoder="greedy")
        config = recognizer.checkpoint.config
        recipe = recipe.model_copy(
            update={"text": config.text, "features": config.features, "model": config.model}
        )
    entries, problems = read_entries(manifests, recipe.text)
    entries = measured(entries, threads or cpu_count(), on_progress)
    leaks, leak_problems = overlap.leaks(entries)
    problems += overlap.duplicate_ids(entries)
    problems += audio_problems(entries, recipe.data.max_seconds)
    if recognizer is not None:
        vocabulary = recognizer.checkpoint.vocabulary
    else:
        vocabulary = _vocabulary(entries, recipe)
    problems += text_problems(entries, recipe.features, recipe.model.factor, vocabulary)
    problems += overlap.duplicate_audio(entries)
    problems += overlap.shared_audio(entries)
    problems += leak_problems
    each = tuple(_facts_of(str(path), entries, recipe, vocabulary) for path in manifests)
    ordered = _in_order(problems, manifests)
    if recognizer is not None:
        ordered += contradictions(entries, recognizer, on_progress)
    return AuditReport(Facts(each, tuple(leaks)), tuple(ordered))


def _vocabulary(entries: Sequence[Entry], recipe: Recipe) -> Vocabulary:
    """What a model of these texts would have; characters where they are too few for its pieces."""
    texts = [entry.text for entry in entries]
    try:
        return make_vocabulary(texts, recipe.text)
    except RecipeError as error:
        log.warning("%s; their frames are counted in characters here", error)
        return Vocabulary.from_texts(texts)


def _facts_of(
    manifest: str, entries: Sequence[Entry], recipe: Recipe, vocabulary: Vocabulary
) -> ManifestFacts:
    own = [entry for entry in entries if entry.manifest == manifest]
    return manifest_facts(manifest, own, recipe.features, vocabulary)


def _in_order(problems: Sequence[Problem], manifests: Sequence[Path]) -> list[Problem]:
    kinds = {kind: number for number, kind in enumerate(KINDS)}
    names = {str(path): number for number, path in enumerate(manifests)}
    return sorted(problems, key=lambda p: (kinds[p.kind], names[p.manifest], p.line))
