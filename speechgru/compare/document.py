"""A report as blocks, and the two forms it takes: one HTML file that needs nothing else, and
Markdown. In words, `so` is code."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --rule: #c9c9c9;
  --soft: #f2f2f2; --shade: #0004; --link: #0057b8; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #16181b; --rule: #4a4d52;
  --soft: #23262a; --shade: #000c; --link: #8ec5ff; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 54rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { line-height: 1.2; } h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--rule); }
h3 { margin: 1.6rem 0 .4rem; font-size: 1.05rem; } a { color: var(--link); }
nav { font-size: .9rem; } nav a { margin-right: .9rem; white-space: nowrap; }
.caption { font-weight: 600; margin: 1.4rem 0 .2rem; }
.table { overflow-x: auto; /* shaded at the side where it goes on */
  background: linear-gradient(to left, var(--paper) 2rem, #0000) right local,
  linear-gradient(to left, var(--shade), #0000 .8rem) right scroll; background-repeat: no-repeat; }
table { border-collapse: separate; border-spacing: 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--rule); text-align: right;
  vertical-align: bottom; }
td { white-space: nowrap; } td.words { white-space: normal; min-width: 11rem; }
th.words, td.words { text-align: left; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; padding-left: 0;
  background: var(--paper); }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button.long { display: inline-block; min-width: 7.5rem; }
th button:hover { text-decoration: underline; }
th button:focus-visible, .table:focus-visible { outline: 2px solid currentColor; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
figure { margin: 1.2rem 0; }
figure svg { display: block; width: 100%; max-width: 40rem !important; }
figcaption { font-size: .9rem; max-width: 40rem; }
.verdict { background: var(--soft); padding: .6rem 1rem; border-left: 4px solid currentColor; }
@media print { body { max-width: none; font-size: 11pt; } figure, tr, .verdict {
  break-inside: avoid; } h2, h3, .caption { break-after: avoid; } nav { display: none; }
  .table { overflow: visible; background: none; } table { font-size: 9pt; }
  th, td { padding: .2rem .4rem; } th button.long, td.words { min-width: 0; } }
"""

SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const th = button.parentElement, column = th.cellIndex, table = th.closest("table");
  const up = th.getAttribute("aria-sort") !== "ascending";
  const value = row => { const text = row.cells[column].textContent.replace(/[,<\\s%]/g, "")
    .replace("\\u2212", "-"); const n = parseFloat(text); return isNaN(n) ? text : n; };
  const rows = [...table.tBodies[0].rows].sort((a, b) => { const x = value(a), y = value(b);
    return (typeof x === typeof y ? (x < y ? -1 : x > y ? 1 : 0) : typeof x === "number" ? -1 : 1)
      * (up ? 1 : -1); });
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  th.setAttribute("aria-sort", up ? "ascending" : "descending");
  table.tBodies[0].append(...rows);
};
"""


@dataclass(frozen=True)
class Text:
    words: str


@dataclass(frozen=True)
class Heading:
    words: str


@dataclass(frozen=True)
class Verdict:
    """What is to be remembered: in short, and what belongs to it."""

    lead: str
    words: str = ""


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class See:
    """Where the evidence stands: the title of a section of this document."""

    title: str


@dataclass(frozen=True)
class Table:
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    svg: str
    caption: str  # says in words what the figure shows


Block = Text | Heading | Verdict | Bullets | See | Table | Figure


@dataclass
class Section:
    title: str
    blocks: list[Block] = field(default_factory=list)


@dataclass(frozen=True)
class Document:
    title: str
    sections: Sequence[Section]


def to_html(document: Document) -> str:
    """One file: no network, sortable tables, light and dark, narrow screens and paper."""
    body = []
    for section in document.sections:
        body.append(f'<section id="{_anchor(section.title)}"><h2>{escape(section.title)}</h2>')
        body += [_html(block) for block in section.blocks]
        body.append("</section>")
    links = [_link(section.title) for section in document.sections]
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',  # so that no browser asks for one
            f"<title>{escape(document.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<main>\n<h1>{escape(document.title)}</h1>\n<nav>{' '.join(links)}</nav>",
            *body,
            f"</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        ]
    )


def _html(block: Block) -> str:
    match block:
        case Text(words):
            return f"<p>{_inline(words)}</p>"
        case Heading(words):
            return f"<h3>{_inline(words)}</h3>"
        case Verdict(lead, words):
            return f'<p class="verdict"><strong>{_inline(lead)}</strong> {_inline(words)}</p>'
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        case See(title):
            return f"<p>Figure and table: {_link(title)}.</p>"
        case Figure(svg, caption):
            return f"<figure>\n{svg}\n<figcaption>{_inline(caption)}</figcaption></figure>"
        case Table():
            return _html_table(block)


def _html_table(table: Table) -> str:
    """Sortable; where it is too wide it scrolls below its caption, with the keyboard too."""
    wordy = [any(map(_wordy, column)) for column in zip(*table.rows, strict=True)]
    name = ["", ' class="words"']
    heads = "".join(
        f'<th scope="col"{name[words]}><button type="button"{_wide(head)}>{escape(head)}</button>'
        "</th>"
        for head, words in zip(table.head, wordy, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f"<td{name[words]}>{escape(cell)}</td>"
            for cell, words in zip(row, wordy, strict=True)
        )
        + "</tr>\n"
        for row in table.rows
    )  # fmt: skip
    label = escape(table.caption, quote=True)
    return (
        f'<p class="caption">{escape(table.caption)}</p>\n'
        f'<div class="table" role="region" tabindex="0" aria-label="{label}">'
        f'<table aria-label="{label}"><thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{lines}</tbody></table></div>"
    )


def _wide(head: str) -> str:
    """Room for a long head, which would else stand word under word on a narrow screen."""
    return ' class="long"' if len(head) > 16 else ""


def _wordy(cell: str) -> bool:
    return sum(char.isalpha() for char in cell) > 12


def _inline(words: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(words))


def _link(title: str) -> str:
    return f'<a href="#{_anchor(title)}">{escape(title)}</a>'


def _anchor(title: str) -> str:
    return re.sub("[^a-z]+", "-", title.lower()).strip("-")


def to_markdown(document: Document) -> str:
    """The same; a figure becomes its caption."""
    parts = [f"# {document.title}"]
    for section in document.sections:
        parts.append(f"## {section.title}")
        parts += [_markdown(block) for block in section.blocks]
    return "\n\n".join(parts) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Text(words):
            return words
        case Heading(words):
            return f"### {words}"
        case Verdict(lead, words):
            return f"> **{lead}** {words}".rstrip()
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case See(title):
            return f"Figure and table: {title}."
        case Figure(_, caption):
            return f"*Figure (in report.html): {caption}*"
        case Table(caption, head, rows):
            lines = [head, ["---"] * len(head), *rows]
            text = "\n".join(
                "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
                for line in lines
            )
            return f"**{caption}**\n\n{text}"
