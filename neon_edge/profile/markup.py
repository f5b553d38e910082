"""HTML and SVG as nested calls: what is not markup already is escaped, always."""

from __future__ import annotations

import html

VOID = {"meta", "line", "rect", "circle", "path", "polyline", "br"}


class Markup(str):
    """Text that is markup and may stand in a page as it is. Only `tag` and `join` make it."""

    __slots__ = ()


def tag(element: str, *children: str, **attributes: str | float) -> Markup:
    """One element. `class_` is class, `stroke_width` is stroke-width; numbers lose their noise."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_text(value))}"'
        for key, value in attributes.items()
    )
    if element in VOID and not children:
        return Markup(f"<{element}{written}/>")
    return Markup(f"<{element}{written}>{join(*children)}</{element}>")


def join(*children: str) -> Markup:
    """Children behind one another; plain text is escaped."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else html.escape(child, quote=False)
            for child in children
        )
    )


def style_sheet(css: str) -> Markup:
    """A style element. Its text is ours, never a measurement's."""
    return Markup(f"<style>{css}</style>")


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.2f}".rstrip("0").rstrip(".")
