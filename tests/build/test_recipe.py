"""Recipes, strictly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from neon_edge.build.recipe import load_recipe
from neon_edge.errors import ConfigWrong
from tests.tiny_backbone import ENGINES

ROOT = ENGINES.parent


def written(tmp_path: Path, old: str, new: str) -> Path:
    text = (ENGINES / "qwen_omni_tiny" / "recipe.toml").read_text()
    assert old in text
    path = tmp_path / "recipe.toml"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize("path", sorted(ENGINES.glob("*/recipe.toml")))
def test_every_tracked_recipe_is_sound(path: Path) -> None:
    recipe = load_recipe(path.parent)
    assert recipe.name == path.parent.name
    assert recipe.text.licence
    assert recipe.adaptor.image.patches % recipe.adaptor.image.merge**2 == 0


def test_a_recipe_is_found_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert load_recipe("qwen_omni_tiny").adaptor.width == 128
    assert load_recipe("engines/qwen_omni_3b").adaptor.width == 2048
    with pytest.raises(ConfigWrong, match="no recipe called") as caught:
        load_recipe("qwen_omni_4b")
    assert "qwen_omni_tiny" in caught.value.fix


def test_loading_a_recipe_never_loads_torch() -> None:
    program = (
        "import sys; from neon_edge.build.recipe import load_recipe;"
        f"load_recipe({str(ENGINES / 'qwen_omni_3b')!r});"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("window_size = 112", "windows_size = 112", "window_size"),
        ("layers_per_part = 0", "layer_per_part = 0", "layers_per_part"),
        ('family = "qwen_omni"', 'family = "qwen_omny"', "qwen_omni"),
        ('family = "qwen_omni"', 'famili = "qwen_omni"', "family"),
        ('tap = "post_norm"', 'tap = "postnorm"', "tap"),
        ('precision = "fp32"', 'precision = "fp8"', "precision"),
        ("height = 224", "height = 256", "multiples of 112"),
        ("pictures = 1", "pictures = 0", "pictures"),
        ("mrope_section = [4, 6, 6]", "mrope_section = [4, 6, 7]", "mrope_section"),
        ("vocab_size = 512", "vocab_size = 505", "vocabulary"),
        ("pooled_relative = 1e-4", "pooled_relative = 0.0", "pooled_relative"),
        ("depth = 4", "", "depth"),
        ("depth = 4", "depth = ", "TOML"),
    ],
)
def test_what_a_recipe_may_not_say(tmp_path: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ConfigWrong) as caught:
        load_recipe(written(tmp_path, old, new))
    assert said in str(caught.value)


def test_features_of_another_embedding_table_are_other_features(tmp_path: Path) -> None:
    float32, float16 = (
        load_recipe(written(tmp_path, 'embeddings = "float32"', f'embeddings = "{kind}"'))
        for kind in ("float32", "float16")
    )
    assert float32.config_bytes != float16.config_bytes
