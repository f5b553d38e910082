"""Weights in a folder each, a fusion from the checkpoint, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save_file

from neon_edge.backbones.contract import Published
from neon_edge.build import joined
from neon_edge.build.joined import JoinedWeights, open_all_weights
from neon_edge.build.match import check_match
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.trained_fusion import TRAINED, TrainedFusion
from neon_edge.build.weights import open_weights
from neon_edge.checkpoint.config import NeonConfig, TribeSource
from neon_edge.errors import ConfigWrong
from tests.build.published_words import encoders, fused, tribe_folders
from tests.tiny_backbone import ENGINES

RECIPE = load_recipe(ENGINES / "tribev2_tiny")
SHAPES = RECIPE.adaptor.tensors()
DRAWN = open_weights("random:7", RECIPE)
FUSION = {TRAINED + name: value for name, value in fused(RECIPE).items()}


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """By the three publishers."""
    return tribe_folders(RECIPE, tmp_path_factory.mktemp("folders"))


@pytest.fixture
def folders(handed_out: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    shutil.copytree(handed_out, tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_every_tensor_comes_from_its_own_place(folders: Path) -> None:
    weights = open_all_weights(str(folders), RECIPE, FUSION)
    assert isinstance(weights, JoinedWeights)
    assert weights.directory == folders / "text", "the tokenizer lies there"
    for name, shape in SHAPES.items():
        assert weights.tensor(name).shape == shape
    for source, model in encoders(RECIPE).items():
        for name, value in model.state_dict().items():
            if f"{source}.{name}" in SHAPES:
                assert torch.equal(weights.tensor(f"{source}.{name}"), value)
    name = "fusion.fusion.output_norm.weight"
    assert torch.equal(weights.tensor(name), DRAWN.tensor(name))


def test_what_the_predictor_of_v_jepa2_holds_is_left_alone(folders: Path) -> None:
    name = "fusion.fusion.output_norm.weight"
    before = open_all_weights(str(folders), RECIPE, FUSION).sha256
    changed = dict(FUSION)
    key = TRAINED + name.partition(".")[2]
    changed[key] = changed[key] + 1
    assert open_all_weights(str(folders), RECIPE, changed).sha256 != before
    path = folders / "video" / "model.safetensors"
    held = load_file(path)
    assert any(name.startswith("predictor.") for name in held)
    save_file({**held, "encoder.norm.weight": torch.ones(4)}, path)
    with pytest.raises(ConfigWrong, match=r"encoder\.norm\.weight"):
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
    place = settings["rope_parameters"] if key == "rope_theta" else settings
    place[key] += 1
    path.write_text(json.dumps(settings))
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


@pytest.mark.parametrize("source", ["video", "audio", "text"])
def test_settings_that_nobody_states(folders: Path, source: str) -> None:
    (folders / source / "config.json").unlink()
    with pytest.raises(ConfigWrong, match="nobody says how") as caught:
        open_all_weights(str(folders), RECIPE, FUSION)
    assert source in caught.value.facts


def stated(names: list[str], revision: str) -> Recipe:
    """The tiny recipe with sources."""
    known = {name: Published(f"someone/{name}", revision, f"{name}'s own") for name in names}
    config = msgspec.structs.replace(RECIPE.text.config, sources=known)
    return Recipe(msgspec.structs.replace(RECIPE.text, config=config), RECIPE.directory)


def test_published_sources_are_fetched_at_their_commits_and_recorded(
    handed_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    asked: list[tuple[str, str]] = []

    def fetch(model_id: str, revision: str) -> Path:
        asked.append((model_id, revision))
        cached = tmp_path / model_id / commit
        shutil.copytree(handed_out / model_id.partition("/")[2], cached)
        return cached

    monkeypatch.setattr(joined, "fetch", fetch)
    weights = open_all_weights("published", stated(["video", "audio", "text"], "main"), FUSION)
    assert asked == [(f"someone/{name}", "main") for name in ("video", "audio", "text")]
    by_name = {source.name: source for source in weights.sources}
    assert list(by_name) == ["video", "audio", "text", "fusion"]
    assert by_name["audio"].revision == commit, "what main was when it was fetched"
    assert by_name["audio"].licence == "audio's own"
    assert len({source.sha256 for source in weights.sources}) == 4
    assert weights.moving == []


def test_a_folder_of_no_known_commit_is_told(handed_out: Path) -> None:
    weights = open_all_weights(str(handed_out), stated(["video"], "main"), FUSION)
    assert len(weights.moving) == 3
    assert "someone/video at main" in weights.moving[0]
    assert "names none" in weights.moving[1]


def test_what_is_cut_away_need_not_be_there(folders: Path) -> None:
    fusion = msgspec.structs.replace(RECIPE.text.config.fusion, max_seq_len=20)
    config = msgspec.structs.replace(RECIPE.text.config, fusion=fusion)
    recipe = Recipe(msgspec.structs.replace(RECIPE.text, config=config), RECIPE.directory)
    shutil.rmtree(folders / "audio")
    shutil.rmtree(folders / "text")
    trained = {TRAINED + name: value for name, value in fused(recipe).items()}
    weights = open_all_weights(str(folders), recipe, trained)
    assert [source.name for source in weights.sources] == ["video", "fusion"]
    assert weights.directory is None, "no word reaches the features: any tokenizer will do"


def test_a_fusion_that_cannot_be_fetched() -> None:
    recipe = load_recipe(ENGINES / "tribev2_low_rank")
    with pytest.raises(ConfigWrong, match="can be fetched") as caught:
        open_all_weights("published", recipe, {})
    assert "facebook/tribev2" in caught.value.facts
    assert "fusion/model.safetensors" in caught.value.fix


@pytest.mark.parametrize("name", ["tribev2", "tribev2_low_rank"])
def test_full_recipes_name_a_commit_of_every_source(name: str) -> None:
    sources = load_recipe(ENGINES / name).text.config.sources
    wanted = ["audio", "fusion", "text", "video"] if "rank" in name else ["audio", "text", "video"]
    assert sorted(sources) == wanted
    for source in sources.values():
        assert len(source.revision) == 40
        assert source.licence


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
