"""Weights in a folder each, a fusion from the checkpoint, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from neon_edge.build.joined import TRAINED, JoinedWeights, TrainedFusion, open_all_weights
from neon_edge.build.match import check_match
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.weights import open_weights
from neon_edge.checkpoint.config import NeonConfig, TribeSource
from neon_edge.errors import ConfigWrong
from tests.tiny_backbone import ENGINES

RECIPE = load_recipe(ENGINES / "tribev2_tiny")
SHAPES = RECIPE.adaptor.tensors()
DRAWN = open_weights("random:7", RECIPE)
FUSION = {
    TRAINED + name.partition(".")[2]: DRAWN.tensor(name)
    for name in SHAPES
    if name.startswith("fusion.")
}


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """As the three publishers would hand them out."""
    for source in ("video", "audio", "text"):
        (tmp_path / source).mkdir()
        held = {
            name.partition(".")[2]: DRAWN.tensor(name)
            for name in SHAPES
            if name.startswith(f"{source}.")
        }
        save_file(held, tmp_path / source / "model.safetensors")
        settings = {
            key.partition(".")[2]: value
            for key, value in RECIPE.adaptor.settings().items()
            if key.startswith(f"{source}.") and key.count(".") == 1
        }
        (tmp_path / source / "config.json").write_text(json.dumps(settings))
    return tmp_path


def test_every_tensor_comes_from_its_own_place(folders: Path) -> None:
    weights = open_all_weights(str(folders), RECIPE, FUSION)
    assert isinstance(weights, JoinedWeights)
    assert weights.directory == folders / "text", "the tokenizer lies there"
    for name, shape in SHAPES.items():
        assert weights.tensor(name).shape == shape
        assert torch.equal(weights.tensor(name), DRAWN.tensor(name))


def test_what_the_predictor_of_v_jepa2_holds_is_left_alone(folders: Path) -> None:
    name = "fusion.fusion.output_norm.weight"
    before = open_all_weights(str(folders), RECIPE, FUSION).sha256
    changed = dict(FUSION)
    key = TRAINED + name.partition(".")[2]
    changed[key] = changed[key] + 1
    assert open_all_weights(str(folders), RECIPE, changed).sha256 != before
    path = folders / "video" / "model.safetensors"
    from safetensors.torch import load_file

    save_file({**load_file(path), "predictor.norm.weight": torch.ones(4)}, path)
    open_all_weights(str(folders), RECIPE, FUSION)


@pytest.mark.parametrize("source", ["video", "audio", "text"])
def test_a_folder_cut_short_or_missing(folders: Path, source: str) -> None:
    path = folders / source / "model.safetensors"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ConfigWrong, match="damaged or cut off"):
        open_all_weights(str(folders), RECIPE, FUSION)
    path.unlink()
    with pytest.raises(ConfigWrong, match="no weights in"):
        open_all_weights(str(folders), RECIPE, FUSION)


@pytest.mark.parametrize(
    ("source", "key"), [("video", "crop_size"), ("audio", "conv_depthwise_kernel_size"),
                        ("text", "rope_theta")],
)  # fmt: skip
def test_settings_that_shapes_do_not_show(folders: Path, source: str, key: str) -> None:
    path = folders / source / "config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, key: settings[key] + 1}))
    with pytest.raises(ConfigWrong, match=f"{source}") as caught:
        open_all_weights(str(folders), RECIPE, FUSION)
    assert key in caught.value.facts


def test_a_fusion_of_another_size_or_none(folders: Path) -> None:
    missing = dict(list(FUSION.items())[1:])
    with pytest.raises(ConfigWrong, match="fusion is not the recipe's"):
        open_all_weights(str(folders), RECIPE, missing)
    name = next(iter(FUSION))
    with pytest.raises(ConfigWrong, match="fusion is not the recipe's"):
        open_all_weights(str(folders), RECIPE, {**FUSION, name: torch.zeros(3)})
    with pytest.raises(ConfigWrong, match="fusion is not the recipe's"):
        open_all_weights(str(folders), RECIPE, {})


def test_drawn_encoders_take_a_trained_fusion_where_there_is_one() -> None:
    assert open_all_weights("random:0", RECIPE, {}).origin == "random:0"
    mixed = open_all_weights("random:0", RECIPE, FUSION)
    assert isinstance(mixed, TrainedFusion)
    assert mixed.origin == "random:0", "still moves simulated robots only"
    name = "fusion.fusion.output_norm.weight"
    assert torch.equal(mixed.tensor(name), DRAWN.tensor(name))
    other = "text.model.norm.weight"
    assert torch.equal(mixed.tensor(other), open_weights("random:0", RECIPE).tensor(other))


def test_a_name_that_is_no_folder() -> None:
    with pytest.raises(ConfigWrong, match="no weights called") as caught:
        open_all_weights("published", RECIPE, FUSION)
    assert "video" in caught.value.facts


class _Trained:
    """As much of a checkpoint as matching reads."""

    def __init__(self, source: TribeSource) -> None:
        self.config = NeonConfig(backbone_type="tribe", tribe_backbone=source)


def test_heads_of_another_tribe_are_refused() -> None:
    name = "neon-edge/tribev2-tiny"
    fits = TribeSource(128, name, name, name, num_fusion_heads=4)
    check_match(RECIPE, _Trained(fits))  # type: ignore[arg-type]
    for change, told in (
        ({"hidden_size": 512}, "width"),
        ({"num_fusion_heads": 8}, "fusion"),
        ({"max_seq_len": 256}, "fusion"),
        ({"audio_model_id": "facebook/w2v-bert-2.0"}, "another backbone"),
    ):
        with pytest.raises(ConfigWrong, match=told):
            check_match(RECIPE, _Trained(msgspec.structs.replace(fits, **change)))  # type: ignore[arg-type]


def test_the_full_recipe_says_what_upstream_loses_and_every_licence() -> None:
    full = load_recipe(ENGINES / "tribev2")
    assert full.adaptor.lost() == [  # type: ignore[attr-defined]
        "video: 512 of 2048 tokens reach the heads",
        "audio never reaches the heads: all of its 199 tokens are cut",
        "text never reaches the heads: all of its 64 tokens are cut",
    ]
    for word in ("MIT", "Llama 3.2 Community License", "CC BY-NC 4.0"):
        assert word in full.text.licence
    assert full.adaptor.audio is None, "what never reaches the heads asks for no microphone"


def test_cut_and_config_must_agree() -> None:
    cut = msgspec.structs.replace(RECIPE.text.cut, audio_seconds=4, pictures=8)
    with pytest.raises(ConfigWrong, match="disagree") as caught:
        Recipe(msgspec.structs.replace(RECIPE.text, cut=cut), RECIPE.directory)
    assert "pictures = 4" in caught.value.fix
    assert "audio_seconds = 2" in caught.value.fix
