"""What every page is made from: its template, drawings as part of the text, nested options as lines."""

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jinja2
import matplotlib as mpl
from markupsafe import Markup
from matplotlib.figure import Figure

from dualsys.files import replacing


def write_page(target: Path, template: str, **contents: Any) -> Path:
    """Render a template of this folder; whole or not at all. Everything is escaped but what is `Markup` already.

    Raises `CannotWrite` where there is no room for it.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dualsys.app.pages", "."), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template(template).render(**contents)
    with replacing(target) as partial:
        partial.write_text(page, encoding="utf-8")
    return target


def drawing(figure: Figure) -> Markup:
    """A figure as SVG inside the page, its words as words."""
    drawn = io.StringIO()
    # Names inside the drawing come from a salt: the same figure is the same page.
    with mpl.rc_context({"svg.hashsalt": "dualsys", "svg.fonttype": "none"}):
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    # Drawn by us from numbers, so it may stand in the page as it is; without the head that a file of its own has.
    text = drawn.getvalue()
    return Markup(text[text.index("<svg") :])


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested options as `actor.width`, and their values in one line each."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield prefix + key, ", ".join(map(str, value)) or "none"
        else:
            yield prefix + key, "none" if value is None or value == "" else str(value)
