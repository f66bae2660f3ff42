"""The report of an audit: audit.json, and audit.html, one page that needs no other file."""

import base64
import io
from pathlib import Path

import numpy as np
import soundfile
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from speechgru.audio import read_audio
from speechgru.audit import KINDS, AuditReport, ManifestFacts, Problem
from speechgru.charts import to_svg
from speechgru.errors import AudioError
from speechgru.files import atomic_write, write_json

FILES = ("audit.json", "audit.html")
LISTED = 100  # problems of each kind on the page; audit.json has all
PLAYERS = 10  # of them with audio, at most
PLAYER_SECONDS = 15.0  # longer audio gets no player
PLAYER_RATE = 16_000  # Hz


def write_report(report: AuditReport, folder: Path) -> list[Path]:
    """Write `folder`/audit.json and audit.html; returns them. Raises SpeechgruError."""
    files = [folder / name for name in FILES]
    write_json(files[0], report.to_json())
    atomic_write(files[1], to_html(report))
    return files


def to_html(report: AuditReport) -> str:
    """The page; every text from the data is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=True,
    )  # fmt: skip
    kinds = report.by_kind()
    return environment.get_template("report.html.j2").render(
        report=report,
        advice=KINDS,
        counts={kind: len(problems) for kind, problems in kinds.items()},
        listed={
            kind: [(problem, player(problem) if number < PLAYERS else "")
                   for number, problem in enumerate(problems[:LISTED])]
            for kind, problems in kinds.items()
        },
        figures=[_data_url("image/svg+xml", figure(f).encode()) for f in report.facts.manifests],
    )  # fmt: skip


def player(problem: Problem) -> str:
    """The audio of a problem as a data URL (Vorbis: soundfile encodes Opus twelve times as slowly);
    "" if it is long or cannot be decoded."""
    try:
        samples = read_audio(problem.audio, PLAYER_RATE, problem.offset, problem.seconds)
    except AudioError:
        return ""
    if len(samples) > PLAYER_SECONDS * PLAYER_RATE:
        return ""
    content = io.BytesIO()
    soundfile.write(content, samples, PLAYER_RATE, format="OGG", subtype="VORBIS")
    return _data_url("audio/ogg", content.getvalue())


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def figure(facts: ManifestFacts) -> str:
    """The distributions of durations, levels, silence and speaking rates as SVG."""
    import matplotlib
    from matplotlib.figure import Figure

    spreads = {
        "seconds": facts.seconds,
        "level, dB of full scale": facts.level,
        "share of silence": facts.silence,
        "characters per second": facts.characters_per_second,
    }
    with matplotlib.rc_context({"font.size": 9}):
        drawing = Figure((7, 3.6))
        for axes, (label, spread) in zip(drawing.subplots(2, 2).flat, spreads.items(), strict=True):
            if spread is not None:
                edges = np.linspace(spread.low, spread.high, len(spread.counts) + 1)
                axes.stairs(spread.counts, edges, fill=True)
            axes.set(xlabel=label, ylabel="utterances")
        return to_svg(drawing)
