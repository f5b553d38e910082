"""What `config.json` and the index of shards say of weights is held to the recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from neon_edge.build.published import INDEX
from neon_edge.build.recipe import Recipe
from neon_edge.build.weights import open_weights
from neon_edge.errors import ConfigWrong
from tests.build.published_words import config_json
from tests.build.test_weights import published

__all__ = ["published"]


def test_settings_that_no_shape_shows(published: Path, tiny_recipe: Recipe) -> None:
    config = config_json(tiny_recipe)
    text = config["thinker_config"]["text_config"]
    text["rope_parameters"]["rope_theta"] = 1e4
    (published / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigWrong, match="not those of recipe") as caught:
        open_weights(str(published), tiny_recipe)
    assert "rope_theta is 10000.0" in caught.value.facts


def test_rotary_constants_in_the_words_of_older_versions(
    published: Path, tiny_recipe: Recipe
) -> None:
    config = config_json(tiny_recipe)
    text = config["thinker_config"]["text_config"]
    rope = text.pop("rope_parameters")
    text |= {
        "rope_theta": rope["rope_theta"],
        "rope_scaling": {"type": "default", "mrope_section": rope["mrope_section"]},
    }
    (published / "config.json").write_text(json.dumps(config))
    open_weights(str(published), tiny_recipe)
    text["rope_scaling"]["mrope_section"] = [6, 6, 4]
    (published / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigWrong) as caught:
        open_weights(str(published), tiny_recipe)
    assert "mrope_section is [6, 6, 4]" in caught.value.facts


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (("text_config", "num_key_value_heads"), "num_key_value_heads is"),
        (("text_config", "rope_parameters"), "rope_parameters.mrope_section"),
        (("vision_config", "num_heads"), "num_heads is 16"),
    ],
)
def test_what_config_json_leaves_out_is_what_transformers_takes_for_it(
    published: Path, tiny_recipe: Recipe, path: tuple[str, str], said: str
) -> None:
    config = config_json(tiny_recipe)
    del config["thinker_config"][path[0]][path[1]]
    (published / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigWrong, match="not those of recipe") as caught:
        open_weights(str(published), tiny_recipe)
    assert said in caught.value.facts


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (None, "nobody says how"),
        ("{", "damaged"),
        ("[]", "damaged"),
        ("{}", "no model that transformers knows"),
        ('{"model_type": "gpt5000"}', "no model that transformers knows"),
        ('{"model_type": "qwen2_5_omni", "thinker_config": 5}', "refuses config.json"),
    ],
)
def test_a_config_json_that_says_nothing(
    published: Path, tiny_recipe: Recipe, written: str | None, said: str
) -> None:
    path = published / "config.json"
    path.unlink()
    if written is not None:
        path.write_text(written)
    with pytest.raises(ConfigWrong, match=said):
        open_weights(str(published), tiny_recipe)


@pytest.mark.parametrize("written", ['{"metadata": {}}', "[]", '{"weight_map": {"a": 5}}'])
def test_an_index_that_names_no_tensors(published: Path, tiny_recipe: Recipe, written: str) -> None:
    (published / INDEX).write_text(written)
    with pytest.raises(ConfigWrong, match="names no tensors"):
        open_weights(str(published), tiny_recipe)
