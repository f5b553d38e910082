"""`neon-edge record` as people call it: emulated motors, Ctrl-C, refusals with their reasons."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import av
import pytest
from pyarrow import parquet

from tests.cli.live import CLOCK, wait_s
from tests.conftest import ROOT, neon_edge

SCRIPT = ROOT / "scripts" / "record_clip.sh"


def test_what_cannot_be_recorded_is_refused_before_anything_opens(tmp_path: Path) -> None:
    for words, told in (
        (["--instruction", " "], "nothing says what is done"),
        (["--fps", "51"], "51 rows a second"),
        (["--seconds", "0.001"], "not one row"),
    ):
        refused = neon_edge("record", str(tmp_path / "set"), *words)
        assert refused.returncode == 2
        assert refused.stderr.startswith(f"neon-edge: {told}")
    assert not (tmp_path / "set").exists()


def episodes(root: Path) -> list[int]:
    """Rows of each, as meta, the table and the film agree."""
    said = [json.loads(line) for line in (root / "meta/episodes.jsonl").read_text().splitlines()]
    lengths = []
    for row in said:
        name = f"episode_{row['episode_index']:06d}"
        table = parquet.read_table(root / f"data/chunk-000/{name}.parquet")
        film = root / f"videos/chunk-000/observation.images.head/{name}.mp4"
        with av.open(str(film)) as opened:
            pictures = sum(1 for _ in opened.decode(video=0))
        assert row["length"] == table.num_rows == pictures
        lengths.append(pictures)
    return lengths


@pytest.mark.slow
def test_an_episode_a_call_and_calibrate_reads_them(tmp_path: Path) -> None:
    out = tmp_path / "set"
    done = subprocess.run(
        [SCRIPT, "sim", out, "--seconds", "1", "--fps", "20", "--instruction", "wave"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert episodes(out) == [20]
    endless = subprocess.Popen(
        [SCRIPT, "sim", out, "--fps", "20"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert endless.stderr is not None
    for line in endless.stderr:
        if "recording episode 1" in line:
            break
    wait_s(0.5)
    endless.send_signal(signal.SIGINT)
    until_ns = CLOCK.now_ns() + 60 * 10**9
    while endless.poll() is None and CLOCK.now_ns() < until_ns:
        wait_s(0.05)
    assert endless.wait(1) == 0, endless.stderr.read()
    endless.stderr.close()
    first, second = episodes(out)
    assert first == 20 and second > 0
    assert list(out.rglob("*.part")) == []
    moments = tmp_path / "moments"
    read = neon_edge(
        "calibrate", "qwen_omni_tiny", "--lerobot", str(out), "--moments", "6",
        "--out", str(moments),
    )  # fmt: skip
    assert read.returncode == 0, read.stderr
    assert "6 moments in" in read.stderr
