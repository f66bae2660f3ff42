"""A report as blocks, and the two forms it takes: one HTML file that needs nothing else, and
Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #ffffff; --rule: #c9c9c9;
  --soft: #f2f2f2; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececec; --paper: #16181b; --rule: #4a4d52;
  --soft: #23262a; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 54rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { line-height: 1.2; } h2 { margin-top: 2.2rem; border-bottom: 1px solid var(--rule); }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--rule); text-align: right; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0;
  background: var(--paper); } td.words { text-align: left; min-width: 12rem; }
th button { all: unset; cursor: pointer; font-weight: 600; }
th button:focus-visible { outline: 2px solid currentColor; }
th[aria-sort=ascending] button::after { content: " ▲"; }
th[aria-sort=descending] button::after { content: " ▼"; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
figure { margin: 1.2rem 0; } figcaption { font-size: .9rem; }
.verdict { background: var(--soft); padding: .6rem 1rem; border-left: 4px solid currentColor; }
@media print { body { max-width: none; font-size: 11pt; } figure, tr, .verdict {
  break-inside: avoid; } .table { overflow: visible; } }
"""

SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.onclick = () => {
  const th = button.parentElement, column = th.cellIndex, table = th.closest("table");
  const up = th.getAttribute("aria-sort") !== "ascending";
  const value = row => { const text = row.cells[column].textContent.replace(/[,\\s%]/g, "")
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
class Verdict:
    words: str


@dataclass(frozen=True)
class Bullets:
    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Figure:
    svg: str
    caption: str  # says in words what the figure shows


Block = Text | Verdict | Bullets | Table | Figure


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
        body.append(f"<section><h2>{escape(section.title)}</h2>")
        body += [_html(block) for block in section.blocks]
        body.append("</section>")
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',  # so that no browser asks for one
            f"<title>{escape(document.title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>",
            f"<main>\n<h1>{escape(document.title)}</h1>",
            *body,
            f"</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n",
        ]
    )


def _html(block: Block) -> str:
    match block:
        case Text(words):
            return f"<p>{escape(words)}</p>"
        case Verdict(words):
            return f'<p class="verdict">{escape(words)}</p>'
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Figure(svg, caption):
            return f"<figure>\n{svg}\n<figcaption>{escape(caption)}</figcaption></figure>"
        case Table(caption, head, rows):
            cells = "".join(
                f'<th scope="col"><button type="button">{escape(name)}</button></th>'
                for name in head
            )
            lines = "".join(
                "<tr>" + "".join(_cell(value) for value in row) + "</tr>\n" for row in rows
            )
            return (
                f'<div class="table"><table><caption>{escape(caption)}</caption>'
                f"<thead><tr>{cells}</tr></thead>\n<tbody>\n{lines}</tbody></table></div>"
            )


def _cell(value: str) -> str:
    wordy = sum(char.isalpha() for char in value) > 12
    return f'<td class="words">{escape(value)}</td>' if wordy else f"<td>{escape(value)}</td>"


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
        case Verdict(words):
            return f"> {words}"
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Figure(_, caption):
            return f"*Figure (in report.html): {caption}*"
        case Table(caption, head, rows):
            lines = [head, ["---"] * len(head), *rows]
            text = "\n".join(
                "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
                for line in lines
            )
            return f"**{caption}**\n\n{text}"
