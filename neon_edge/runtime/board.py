"""The machine in one line: what a figure was measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from neon_edge.engine.manifest import Manifest
from neon_edge.engine.plan import cpu_model

_L4T = Path("/etc/nv_tegra_release")


def board(manifest: Manifest | None = None) -> str:
    """Device · cores · L4T where there is one · Python · engine of the plans."""
    facts = [cpu_model(), f"{os.cpu_count()} cores"]
    if _L4T.is_file():
        facts.append(_L4T.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").split(",")[0])
    facts.append(f"Python {platform.python_version()}")
    if manifest is not None and manifest.machine is not None:
        facts.append(f"{manifest.machine.engine} {manifest.machine.engine_version}")
    return " · ".join(facts)


def versions(*packages: str) -> dict[str, str]:
    """Installed versions, for a manifest; packages that are absent are left out."""
    found: dict[str, str] = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
