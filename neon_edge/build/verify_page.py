"""What the gate measured, as one page that needs nothing else: errors per joint, per layer, frames.

Charts are inline SVG, pictures are inline PNG; colours follow the reader's light or dark setting.
"""

from __future__ import annotations

import base64
import html
import json
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from neon_edge.engine.manifest import Candidate, ErrorRow, Gate, Manifest
from neon_edge.types import UInt8

PAGE = "verify.html"
LAYERS = "layers.json"
_SHOWN_LAYERS = 40
_BAR, _WIDE, _LABEL, _FIGURE = 20, 440, 290, 280

_STYLE = """
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--faint:#8a9099;--line:#d9dde2;
--p50:#9db8d9;--p99:#4a7dbd;--max:#1d4f91;--bad:#b3261e;--good:#1a7f37}
@media (prefers-color-scheme:dark){:root{--ink:#e6e8eb;--paper:#14171b;--faint:#8d949e;
--line:#333940;--p50:#2f4a6b;--p99:#4d86cc;--max:#9cc3f2;--bad:#ff8a80;--good:#6fdd8b}}
body{background:var(--paper);color:var(--ink);font:15px/1.45 system-ui,sans-serif;
max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.35rem}h2{font-size:1.05rem;margin-top:2.2rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:.25rem .7rem .25rem 0;
border-bottom:1px solid var(--line);vertical-align:top}.n{text-align:right;white-space:nowrap;
font-variant-numeric:tabular-nums}.bad{color:var(--bad)}.good{color:var(--good)}
.faint{color:var(--faint)}svg{width:100%;height:auto}svg text{font:12px system-ui,sans-serif;
fill:var(--ink)}svg .faint{fill:var(--faint)}img{max-width:22rem;width:100%;border-radius:4px}
figure{display:inline-block;margin:0 1rem 1rem 0}figcaption{color:var(--faint)}
"""


def page(manifest: Manifest, layers: Mapping[str, Any], frames: Mapping[str, UInt8]) -> str:
    """HTML. `frames` are captions and pictures (height, width, 3), the worst first."""
    backbone = manifest.backbone
    form = backbone.quantised or "float"
    machine = manifest.machine
    where = f"{machine.engine} {machine.engine_version}, {machine.device}" if machine else "bundle"
    passed = all(gate.passed for gate in manifest.gates)
    verdict = '<b class="good">passed</b>' if passed else '<b class="bad">missed</b>'
    joints = [row for row in manifest.errors if row.unit == "rad"]
    limits = manifest.verification.joint_rad
    parts = [
        f"<h1>{_safe(backbone.recipe)}, {form}: {verdict}</h1>",
        f'<p class="faint">{_safe(where)} · made {_safe(manifest.created)} · '
        f"weights {_safe(backbone.weights)} · features {backbone.model_hash}</p>",
        *(f'<p class="faint">{_safe(line)}</p>' for line in judged_lines(manifest)),
        "<h2>Gates</h2>",
        _gates(manifest.gates),
        *(["<h2>Error of every joint, rad</h2>", _joints(joints, limits)] if joints else []),
        "<h2>What is no angle</h2>" if joints else "<h2>Errors</h2>",
        _others([row for row in manifest.errors if row.unit != "rad"]),
    ]
    if layers:
        parts += ["<h2>What each Linear loses</h2>", _layers(layers), _alone(layers)]
    parts.append(_candidates(manifest.candidates))
    if frames:
        parts += ["<h2>Worst frames</h2>", *(_figure(*item) for item in frames.items())]
    body = "\n".join(parts)
    return (
        '<!doctype html>\n<html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{_safe(backbone.recipe)} {form}: accuracy</title><style>{_STYLE}</style>\n"
        f"<body>{body}</body></html>\n"
    )


def read_layers(bundle: Path) -> dict[str, Any]:
    """What quantisation wrote beside the bundle's graphs; empty for a float bundle."""
    path = bundle / LAYERS
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}


def write_page(target: Path, manifest: Manifest, bundle: Path, frames: Mapping[str, UInt8]) -> str:
    """The page, and the worst moment's pictures beside it; returns that moment's caption."""
    _replace(target, page(manifest, read_layers(bundle), frames).encode())
    caption, image = next(iter(frames.items()))
    _replace(worst_of(target), png(image))
    return caption


def worst_of(target: Path) -> Path:
    """Where a page's worst moment is."""
    return target.with_suffix(".worst.png")


def add_candidates(target: Path, rows: list[Candidate]) -> None:
    """Put what was tried into a page that was written before it was known."""
    text = target.read_text(encoding="utf-8")
    _replace(target, text.replace(_candidates([]), _candidates(rows), 1).encode())


def _replace(target: Path, held: bytes) -> None:
    # Never in place: the file may be linked from plans that were tried before.
    partial = target.with_name(target.name + ".part")
    partial.write_bytes(held)
    partial.replace(target)


def judged_lines(manifest: Manifest) -> list[str]:
    """What plans were judged on, and what no figure here can say, for a person."""
    lines, judged = [], manifest.verification.judged
    if judged is not None:
        count = judged.moments - (judged.tuning if manifest.backbone.quantised else 0)
        episodes = ", ".join(str(number) for number in judged.episodes)
        felt = "joint states as recorded" if judged.joints == "recorded" else "joint states drawn"
        heard = f", sound {judged.sound}" if judged.sound else ""
        lines.append(
            f"judged on {count} moments set aside, of {judged.source} (episodes {episodes}; "
            f"seed {judged.seed}, sha256 {judged.sha256[:16]}); {felt}{heard}"
        )
    if manifest.heads.head_type == "dit":
        lines.append(
            "no figure in radians: this head's sampler divides by 1e-5, so that what its features "
            "change in a chunk cannot be told from rounding; its noise predictions are compared"
        )
    elif manifest.heads.head_type == "ensemble":
        lines.append(
            "radians are of all but the diffusion, whose share is replaced by its noise on both "
            "sides; its noise predictions are compared by themselves"
        )
    return lines


def png(image: UInt8) -> bytes:
    """(height, width, 3) RGB as a PNG file, without an imaging library: plans compile anywhere."""
    height, width, _ = image.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # a 0 ahead of each row: not filtered
    rows[:, 1:] = image.reshape(height, -1)
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(rows.tobytes(), 6)
    return b"".join([
        b"\x89PNG\r\n\x1a\n", _chunk(b"IHDR", size), _chunk(b"IDAT", packed), _chunk(b"IEND", b"")
    ])  # fmt: skip


def _chunk(name: bytes, held: bytes) -> bytes:
    return struct.pack(">I", len(held)) + name + held + struct.pack(">I", zlib.crc32(name + held))


def _gates(gates: list[Gate]) -> str:
    rows = [
        f'<tr><td>{_safe(g.name)}<td class="n">{g.measured:.3g}<td class="n">{g.limit:.3g}'
        f"<td>{_safe(g.unit)}<td>{_safe(g.worst)}"
        f'<td class="{"good" if g.passed else "bad"}">{"passed" if g.passed else "missed"}'
        for g in gates
    ]
    head = '<tr><th>gate<th class="n">measured<th class="n">limit<th><th>worst at<th>'
    return f"<table>{head}{''.join(rows)}</table>"


def _joints(rows: list[ErrorRow], limit: float) -> str:
    top = max([limit, *(row.max for row in rows if row.max < 1e9)], default=1.0)
    marks = []
    for number, row in enumerate(rows):
        y = number * _BAR
        marks.append(f'<text x="0" y="{y + 14}">{_safe(row.name)}</text>')
        for kind in ("max", "p99", "p50"):
            width = min(getattr(row, kind) / top, 1.0) * _WIDE
            marks.append(_rect(_LABEL, y + 4, width, f"var(--{kind})", f"{row.name}: {kind}"))
        figures = f"{row.p50:.2g} · {row.p99:.2g} · {row.max:.2g}"
        if row.step_max is not None:
            figures += f" · {row.step_max:.2g} rad/s"
        marks.append(f'<text x="{_LABEL + _WIDE + 8}" y="{y + 14}">{figures}</text>')
    x, height = _LABEL + limit / top * _WIDE, len(rows) * _BAR
    marks.append(
        f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height}" stroke="var(--bad)" '
        'stroke-dasharray="3 3"/>'
    )
    said = "p50, p99, largest; then the largest change from row to row; dashed: the largest's limit"
    legend = f'<p class="faint">{said}</p>'
    return _svg(height, marks) + legend


def _layers(layers: Mapping[str, Any]) -> str:
    known = [(name, row) for name, row in layers.items() if row["error"] is not None]
    ranked = sorted(known, key=lambda item: item[1]["error"], reverse=True)[:_SHOWN_LAYERS]
    top = max((row["error"] for _, row in ranked), default=1.0) or 1.0
    marks = []
    for number, (name, row) in enumerate(ranked):
        y = number * _BAR
        note = f"{row['error']:.2g}" + (", in float" if row["float"] else "")
        tip = f"{name}: reaches {row['reach']} on {row['moment']}"
        colour = "var(--faint)" if row["float"] else "var(--p99)"
        marks.append(f'<text x="0" y="{y + 14}">{_safe(name)}</text>')
        # Square roots: most layers would otherwise be invisible beside the first.
        marks.append(_rect(_LABEL, y + 4, (row["error"] / top) ** 0.5 * _WIDE, colour, tip))
        marks.append(f'<text x="{_LABEL + _WIDE + 8}" y="{y + 14}">{note}</text>')
    said = f"worst {len(ranked)} of {len(layers)}; relative squared error, drawn as its root"
    return _svg(len(ranked) * _BAR, marks) + f'<p class="faint">{said}</p>'


def _alone(layers: Mapping[str, Any]) -> str:
    """What the features lose by a Linear and its siblings alone, where that was measured."""
    known = [(name, row) for name, row in layers.items() if row.get("effect") is not None]
    ranked = sorted(known, key=lambda item: item[1]["effect"], reverse=True)
    cells = [
        f'<tr><td>{_safe(name)}<td class="n">{row["effect"]:.2g}'
        f'<td class="n">{row["effect"] / row["weights"] * 1e6:.2g}'
        f"<td>{'in float' if row['float'] else ''}"
        for name, row in ranked
    ]
    head = (
        "<tr><th>quantised alone, with what reads the same input"
        '<th class="n">1 - cosine of the features<th class="n">a million weights<th>'
    )
    return f"<table>{head}{''.join(cells)}</table>" if cells else ""


def _candidates(rows: list[Candidate]) -> str:
    cells = [
        f"<tr><td>{'→&nbsp;' if row.chosen else ''}{_safe(row.name)}"
        f'<td class="n">{f"{row.median_ms:.1f} ms" if row.median_ms else ""}'
        f'<td class="n">{row.weight_bytes / 1e6:.1f} MB<td>{_safe(row.note)}'
        for row in rows
    ]
    heading = "<h2>Precisions tried here</h2>" if rows else ""
    return f'<section id="tried">{heading}<table>{"".join(cells)}</table></section>'


_SPREAD_HEAD = (
    '<tr><th><th class="n">p50<th class="n">p99<th class="n">largest<th class="n">mean<th>'
)


def _others(rows: list[ErrorRow]) -> str:
    cells = [
        f'<tr><td>{_safe(row.name)}<td class="n">{row.p50:.3g}<td class="n">{row.p99:.3g}'
        f'<td class="n">{row.max:.3g}<td class="n">{"" if row.mean is None else f"{row.mean:.3g}"}'
        f"<td>{_safe(row.unit)}"
        for row in rows
    ]
    return f"<table>{_SPREAD_HEAD}{''.join(cells)}</table>" if rows else ""


def _figure(caption: str, image: UInt8) -> str:
    held = base64.b64encode(png(image)).decode()
    text = _safe(caption)
    return (
        f'<figure><img alt="{text}" src="data:image/png;base64,{held}">'
        f"<figcaption>{text}</figcaption></figure>"
    )


def _svg(height: int, marks: list[str]) -> str:
    width = _LABEL + _WIDE + _FIGURE
    return f'<svg viewBox="0 0 {width} {max(height, 1)}" role="img">{"".join(marks)}</svg>'


def _rect(x: float, y: float, width: float, colour: str, tip: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.5):.1f}" height="12" '
        f'fill="{colour}"><title>{_safe(tip)}</title></rect>'
    )


def _safe(text: str) -> str:
    return html.escape(text, quote=True)
