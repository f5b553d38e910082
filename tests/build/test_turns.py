"""One engine open at a time gives the features that all at once give, in a part's memory."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from neon_edge.build import verify
from neon_edge.build.export import export_backbone
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.samples import Samples, camera_frames, sound_windows
from neon_edge.engine.manifest import BackboneManifest, Machine, Part, TensorSpec
from neon_edge.engine.plan import compile_part, open_engine
from neon_edge.features.streams import open_features
from neon_edge.types import AudioWindow, Float32, UInt8
from tests.conftest import ROOT
from tests.tiny_backbone import ENGINES, Exported

MACHINE = Machine("onnxruntime", "", "", "")
WORDS = ["pick up the cup", "pick up the cup", "wave"]


def plans_of(recipe: Recipe, directory: Path) -> Any:
    """What `plan_features` reads of a manifest, its plans beside the graphs."""
    backbone = export_backbone(recipe, None, directory)
    parts = [compile_part(directory, part, directory, "onnxruntime") for part in backbone.parts]
    return stated(msgspec.structs.replace(backbone, parts=parts))


def stated(backbone: BackboneManifest) -> Any:
    return SimpleNamespace(backbone=backbone, machine=MACHINE)


def samples_of(backbone: BackboneManifest, pictures: list[UInt8], count: int = 3) -> Samples:
    """Moments of which the second repeats the first and a picture comes back in the third."""
    each = backbone.image.count
    rows = [[pictures[(start + k) % len(pictures)] for k in range(each)] for start in (0, 0, 1)]
    sounds = sound_windows(backbone.audio, count, 0) if backbone.audio is not None else None
    pooled = np.zeros((count, backbone.pooled_width), np.float32)
    cameras = tuple(np.array([row[k] for row in rows[:count]]) for k in range(each))
    names = [f"moment {at}" for at in range(count)]
    chunk = np.empty(0, np.float32)
    return Samples(cameras, WORDS[:count], names, {}, pooled, chunk, sounds)


def all_at_once(plans: Path, manifest: Any, samples: Samples) -> Float32:
    """As a robot runs them."""
    engines = [open_engine(plans, part, MACHINE, 1) for part in manifest.backbone.parts]
    backbone = open_features(manifest.backbone, plans, engines)
    found = []
    for index, moment in enumerate(samples.frames):
        backbone.instruct(samples.instructions[index])
        backbone.see(camera_frames(moment))
        if samples.sounds is not None:
            rate_hz = manifest.backbone.audio.rate_hz
            backbone.hear(AudioWindow(samples.sounds[index], rate_hz, (index + 1) * 10**12))
        backbone.infer()
        found.append(backbone.pooled.copy())
    backbone.close()
    return np.stack(found)


def recut(name: str, **changes: object) -> Recipe:
    recipe = load_recipe(ENGINES / name)
    cut = msgspec.structs.replace(recipe.text.cut, **changes)
    return Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)


@pytest.mark.parametrize(
    "make",
    [
        lambda: recut("qwen_omni_tiny", pictures=2, layers_per_part=2, audio_seconds=2),
        lambda: recut("qwen_vl_tiny", pictures=2, layers_per_part=2, vision_apart=True),
        lambda: load_recipe(ENGINES / "tribev2_tiny"),
        lambda: load_recipe(ENGINES / "tribev2_low_rank_tiny"),
    ],
    ids=["omni", "apart", "tribe", "steps"],
)
@pytest.mark.slow
def test_turns_change_no_bit(
    make: Callable[[], Recipe],
    pictures: list[UInt8],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manifest = plans_of(make(), tmp_path)
    samples = samples_of(manifest.backbone, pictures)
    opened: list[str] = []
    now: set[str] = set()

    def watched(plans: Path, part: Part, machine: Machine, threads: int) -> Any:
        engine = open_engine(plans, part, machine, threads)
        opened.append(part.name)
        now.add(part.name)
        assert len(now) == 1, now
        close = engine.close
        engine.close = lambda: (now.clear(), close())  # type: ignore[method-assign,func-returns-value]
        return engine

    monkeypatch.setattr(verify, "open_engine", watched)
    before = sorted(tmp_path.iterdir())
    ours = verify.plan_features(tmp_path, manifest, samples, 1).pooled
    assert sorted(opened) == sorted(part.name for part in manifest.backbone.parts)
    assert not now
    assert sorted(tmp_path.iterdir()) == before
    np.testing.assert_array_equal(ours, all_at_once(tmp_path, manifest, samples))


def test_a_part_that_cannot_be_opened_is_told_and_leaves_nothing(
    tiny: Exported, tmp_path: Path, pictures: list[UInt8]
) -> None:
    from neon_edge.errors import PlanUnfit

    for name in ("tokenizer.json", "embeddings.npy"):
        (tmp_path / name).symlink_to(tiny.directory / name)
    manifest = stated(tiny.manifest)
    with pytest.raises(PlanUnfit, match="has no plan"):
        verify.plan_features(tmp_path, manifest, samples_of(tiny.manifest, pictures), 1)
    assert not (tmp_path / "scratch").exists()


WIDE = 3072
ROWS = 96
MEASURE = """
import json, sys
from pathlib import Path
import msgspec
from neon_edge.build.verify import plan_features
from neon_edge.engine.manifest import BackboneManifest
from tests.build.test_turns import WIDE, samples_of, stated
import numpy as np
place = Path(sys.argv[1])
backbone = msgspec.json.decode((place / "backbone.json").read_bytes(), type=BackboneManifest)
samples = samples_of(backbone, [np.full((224, 224, 3), 40 * k, np.uint8) for k in range(3)])
Path("/proc/self/clear_refs").write_text("5")
pooled = plan_features(place, stated(backbone), samples, 1).pooled
status = Path("/proc/self/status").read_text().splitlines()
peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
print(json.dumps({"mb": peak / 1e3, "finite": bool(np.isfinite(pooled).all())}))
"""


def layer(directory: Path, name: str, inputs: dict[str, list[int]], made: str) -> Part:
    """The first of `inputs` that is (1, ROWS, n) through one matrix; `pooled` is a mean of rows."""
    rows = next(name for name, shape in inputs.items() if shape[:2] == [1, ROWS])
    last = made == "pooled"
    matrix = np.eye(inputs[rows][2], WIDE, dtype=np.float32) * 0.5
    chain = [("MatMul", [rows, "matrix"])]
    for name_of_input in inputs:
        if name_of_input in ("patches", "pool_weights"):
            chain.append(("ReduceMean", [name_of_input]))
    nodes = [
        helper.make_node(kind, given, [f"v{number}"], **({"keepdims": 0} if number else {}))
        for number, (kind, given) in enumerate(chain)
    ]
    value = "v0"
    for number in range(1, len(chain)):
        nodes.append(helper.make_node("Add", [value, f"v{number}"], [f"s{number}"]))
        value = f"s{number}"
    if last:
        nodes.append(helper.make_node("ReduceMean", [value, "axis"], ["mean"], keepdims=0))
        value = "mean"
    nodes.append(helper.make_node("Identity", [value], [made]))
    shape = [1, WIDE] if last else [1, ROWS, WIDE]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [helper.make_tensor_value_info(made, TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(matrix, "matrix"),
            numpy_helper.from_array(np.array([1]), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, directory / f"{name}.onnx")
    given = [TensorSpec(n, s) for n, s in inputs.items()]
    part = Part(name, f"{name}.onnx", "", given, [TensorSpec(made, shape)])
    done = compile_part(directory, part, directory, "onnxruntime")
    (directory / f"{name}.onnx").unlink()
    return done


def deep(directory: Path, tiny: Exported, layers: int) -> None:
    """Plans of `layers` parts behind one another, each a matrix of WIDE x WIDE."""
    image = tiny.manifest.image
    begins = {"patches": [image.patches, image.patch_width], "text_embeds": [1, ROWS, 128]}
    shape = [1, ROWS, WIDE]
    for name in ("tokenizer.json", "embeddings.npy"):
        (directory / name).symlink_to(tiny.directory / name)
    parts = [layer(directory, "layer_0", begins, "h0")]
    parts += [
        layer(directory, f"layer_{k}", {f"h{k - 1}": shape}, f"h{k}") for k in range(1, layers)
    ]
    ends = {f"h{layers - 1}": shape, "pool_weights": [1, tiny.manifest.tokens]}
    parts.append(layer(directory, "last", ends, "pooled"))
    backbone = msgspec.structs.replace(tiny.manifest, parts=parts, pooled_width=WIDE)
    (directory / "backbone.json").write_bytes(msgspec.json.encode(backbone))


@pytest.mark.slow
def test_verifying_takes_a_parts_memory_and_not_the_models(tiny: Exported, tmp_path: Path) -> None:
    peaks = []
    for layers in (4, 16):
        place = tmp_path / str(layers)
        place.mkdir()
        deep(place, tiny, layers)
        ran = subprocess.run(
            [sys.executable, "-c", MEASURE, str(place)],
            capture_output=True, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
        found = json.loads(ran.stdout)
        assert found["finite"]
        peaks.append(found["mb"])
    assert abs(peaks[1] - peaks[0]) < WIDE * WIDE * 4 / 1e6, peaks
