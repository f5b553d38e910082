"""Where a robot file is looked for: a path, the environment, the user, the system, the package."""

from __future__ import annotations

import os
from pathlib import Path

from neon_edge.config.check import check_robot
from neon_edge.config.robot import RobotConfig
from neon_edge.config.strict import decode_toml
from neon_edge.errors import ConfigWrong

SHIPPED = Path(__file__).parent.parent / "robots"


def search_path() -> list[Path]:
    """Directories that are searched for NAME.toml, first wins."""
    home = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"))
    return [home / "neon-edge" / "robots", Path("/etc/neon-edge/robots"), SHIPPED]


def find_robot(name: str) -> Path:
    """The file that `--robot NAME` means. Raises `ConfigWrong` with the places searched."""
    wanted = name or os.environ.get("NEON_EDGE_ROBOT", "")
    if wanted.endswith(".toml"):
        return Path(wanted)
    for directory in search_path():
        candidate = directory / f"{wanted}.toml"
        if candidate.is_file():
            return candidate
    shipped = ", ".join(sorted(path.stem for path in SHIPPED.glob("*.toml")))
    raise ConfigWrong(
        f"no robot called {wanted!r}",
        f"searched {', '.join(str(directory) for directory in search_path())}",
        f"use one of {shipped}, or give the path of a robot file",
    )


def load_robot(name: str) -> RobotConfig:
    """Find, decode and check a robot file."""
    robot = decode_toml(find_robot(name), RobotConfig)
    check_robot(robot)
    return robot
