"""The example planner against a robot that follows, is spoken to by others, stops, or refuses."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from neon_edge.clock import MonotonicClock
from neon_edge.runtime.requests import Answer, Reply, Requests
from tests.conftest import ROOT


class Robot:
    """Answers a planner: `features` follow an instruction after so many looks, or never."""

    def __init__(self, path: Path, behind: int, other: str = "") -> None:
        self.said, self.behind, self.looks, self.other = "", behind, 0, other
        self.requests = Requests(path, {"say": self.say, "status": self.status}, MonotonicClock())
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self) -> None:
        while not self.stop.wait(0.005):
            self.requests.look()

    def say(self, text: str) -> Answer:
        if text == "fly":
            return lambda: Reply(False, wrong="cannot fly", facts="no wings", fix="walk")
        self.said, self.looks = text, 0
        return lambda: Reply(True, {"instruction": text, "instruction_id": text[:3]})

    def status(self, _: str) -> Answer:
        self.looks += 1
        now = self.other or self.said
        follows = self.looks > self.behind
        told = {
            "instruction": now,
            "instruction_id": now[:3],
            "features_instruction_id": self.said[:3] if follows else None,
            "status": "50 Hz",
        }
        return lambda: Reply(True, {**told})

    def close(self) -> None:
        self.stop.set()
        self.thread.join()
        self.requests.close()


@pytest.mark.parametrize(
    ("robot", "lines", "code", "said"),
    [
        ((1, ""), "walk\nopen", 0, ""),
        ((1, "stand"), "walk\nopen", 2, "another caller"),
        ((10**9, ""), "walk\nopen", 69, "no features under the instruction"),
        ((1, ""), "walk\nfly", 2, "cannot fly"),
    ],
)
def test_the_example_planner_comes_to_an_end(
    tmp_path: Path, robot: tuple[int, str], lines: str, code: int, said: str
) -> None:
    (tmp_path / "subtasks.txt").write_text(lines)
    speaker = Robot(tmp_path / "neon-edge.sock", *robot)
    try:
        planner = subprocess.run(
            [sys.executable, str(ROOT / "scripts" / "plan_subtasks.py"),
             str(tmp_path / "subtasks.txt"), "--each", "0", "--patience", "0.5",
             "--socket", str(tmp_path)],
            capture_output=True, text=True, timeout=60, check=False, cwd=ROOT,
        )  # fmt: skip
    finally:
        speaker.close()
    assert planner.returncode == code, planner.stderr
    assert said in planner.stderr
    assert "Traceback" not in planner.stderr
    assert len(planner.stderr.strip().splitlines()) == (3 if code else 0)
