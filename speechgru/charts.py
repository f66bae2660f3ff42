"""Figures as SVG."""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_svg(figure: "Figure") -> str:
    """A figure whose parts are laid out to fit; the same numbers give the same text, in which
    labels are text, too."""
    import matplotlib  # takes a moment

    content = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "speechgru"}):
        figure.set_layout_engine("constrained")
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
