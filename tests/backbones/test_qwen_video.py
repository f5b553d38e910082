"""Prompts, pixels and times of a video against transformers' own processors."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
import torch
from neon.model.video_backbone import BackboneConfig, VideoBackbone
from PIL import Image

from neon_edge.backbones.qwen import QwenFamily
from neon_edge.backbones.qwen_film import film_pixels
from neon_edge.backbones.qwen_network import between_pairs, grids
from neon_edge.build.recipe import Recipe, load_recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.build.weights import open_weights
from neon_edge.errors import ConfigWrong
from neon_edge.features.preprocess import Preprocessor
from neon_edge.types import CameraFrame, UInt8
from tests.tiny_backbone import ENGINES, film
from tests.video_processors import video_processor

SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
END = "Follow the bicycle.<|im_end|>\n<|im_start|>assistant\n"
SEEN = "<|vision_start|><|video_pad|><|vision_end|>"
PROMPTS = {
    "qwen_vl_tiny": SYSTEM + SEEN + END,
    "qwen_omni_tiny": SYSTEM + "<|vision_bos|><|VIDEO|><|vision_eos|>" + END,
    # As transformers below 5.3 reads the chat template: the markers go with the token.
    "cosmos_reason2_tiny": "<|im_start|>user\n<|video_pad|>" + END,
}
# Sides that the processor itself chooses for frames of 272 x 272, under its limit in pixels.
SIDES = {"qwen_vl_tiny": 224, "qwen_omni_tiny": 336, "cosmos_reason2_tiny": 224}
LIMITS = {name: 224 * 224 * (4 if name.startswith("cosmos") else 1) for name in SIDES}


def filmed(name: str, **changes: object) -> Recipe:
    recipe = load_recipe(ENGINES / name)
    cut = msgspec.structs.replace(recipe.text.cut, video=True, **changes)
    return Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)


def square(frames: Sequence[UInt8]) -> list[UInt8]:
    return [np.ascontiguousarray(frame[:, 100:372]) for frame in frames]


@pytest.mark.parametrize("name", PROMPTS)
def test_what_the_processor_makes_of_four_frames(name: str) -> None:
    recipe = filmed(name, window=4, height=SIDES[name], width=SIDES[name])
    image, frames = recipe.adaptor.image, square(film(4))
    with video_processor(recipe, LIMITS[name]) as processor:
        seen = processor(
            text=[PROMPTS[name]],
            videos=[Image.fromarray(frame) for frame in frames],
            return_tensors="pt",
        )
    ids = ReferenceBackbone(recipe).token_ids(4, "Follow the bicycle.")
    assert seen["input_ids"][0].tolist() == ids
    theirs = seen["pixel_values_videos"].numpy()
    assert torch.equal(seen["video_grid_thw"], grids(image)["video_grid_thw"])
    ours = np.full((image.steps * image.patches, image.patch_width), np.nan, np.float32)
    Preprocessor(image).fill_pass(frames, ours)
    assert np.abs(ours - theirs).max() <= 1e-6, "the same level at every pixel"
    assert np.abs(film_pixels(frames, image).numpy() - theirs).max() <= 1e-6
    adaptor = recipe.adaptor
    assert isinstance(adaptor, QwenFamily)
    for key, seconds in adaptor.network.times(between_pairs(image)).items():
        assert torch.equal(torch.as_tensor(seen[key]), seconds)


def test_a_processor_that_is_told_the_rate_counts_the_same_times() -> None:
    recipe = filmed("cosmos_reason2_tiny", window=4, video_fps=4.0)
    frames = [Image.fromarray(frame) for frame in square(film(4))]
    told = {"fps": 4.0, "total_num_frames": 4, "frames_indices": [0, 1, 2, 3]}
    with video_processor(recipe, LIMITS["cosmos_reason2_tiny"]) as processor:
        seen = processor(
            text=[PROMPTS["cosmos_reason2_tiny"]],
            videos=frames,
            do_sample_frames=False,
            video_metadata=[told],
            return_tensors="pt",
        )
    ids = ReferenceBackbone(recipe).token_ids(4, "Follow the bicycle.")
    assert seen["input_ids"][0].tolist() == ids
    assert "<0.6 seconds>" in recipe.adaptor.template.gaps[0]


def test_qwen3s_processor_keeps_four_of_sixteen_frames_and_a_recipe_can_say_so() -> None:
    """Upstream gives it 16 and no rate; `engines/README.md` tells what to write."""
    recipe = filmed("cosmos_reason2_tiny", window=4, window_hz=0.8, video_fps=4.8)
    frames = square(film(16))
    with video_processor(recipe, LIMITS["cosmos_reason2_tiny"]) as processor:
        seen = processor(
            text=[PROMPTS["cosmos_reason2_tiny"]],
            videos=[Image.fromarray(frame) for frame in frames],
            return_tensors="pt",
        )
    ids = ReferenceBackbone(recipe).token_ids(4, "Follow the bicycle.")
    assert seen["input_ids"][0].tolist() == ids
    kept = film_pixels([frames[index] for index in (0, 5, 10, 15)], recipe.adaptor.image)
    assert np.abs(seen["pixel_values_videos"].numpy() - kept.numpy()).max() <= 1e-6


@pytest.mark.parametrize("name", PROMPTS)
def test_upstreams_own_code_makes_the_same_features(name: str) -> None:
    recipe = filmed(name, window=4, height=SIDES[name], width=SIDES[name])
    frames, adaptor = square(film(4)), recipe.adaptor
    assert isinstance(adaptor, QwenFamily)
    network = adaptor.network
    model = network.filled(network.empty(), "", open_weights(None, recipe))
    network.restore(model)
    backbone = VideoBackbone(BackboneConfig(model_id=name))
    with video_processor(recipe, LIMITS[name]) as processor:
        # Jinja takes one line's end away.
        processor.chat_template = PROMPTS[name] + "\n"
        backbone._model, backbone._processor = model, processor
        images = [Image.fromarray(frame) for frame in frames]
        theirs = backbone.encode(video_frames=images, text="Follow the bicycle.")["pooled"][0]
    moment = [CameraFrame(frame, 1, "street") for frame in frames]
    ours = ReferenceBackbone(recipe).pooled(moment, "Follow the bicycle.")
    assert np.abs(ours - theirs.numpy()).max() <= 1e-5 * np.abs(ours).max()


def positions(name: str, **changes: object) -> torch.Tensor:
    """In time (T,) of the tokens of one video."""
    recipe = filmed(name, **changes)
    adaptor = recipe.adaptor
    assert isinstance(adaptor, QwenFamily)
    ids = torch.tensor([ReferenceBackbone(recipe).token_ids(recipe.text.cut.window, "Go.")])
    network = adaptor.network
    found = network.positions(network.empty(), ids, adaptor.image)[0, 0]
    return found[ids[0] == adaptor.special_tokens[adaptor.template.picture]]


@pytest.mark.parametrize(
    ("name", "fps", "apart"),
    [
        ("qwen_vl_tiny", 0.0, [0, 0, 0]),
        ("qwen_vl_tiny", 4.0, [0, 1, 2]),
        ("qwen_vl_tiny", 1.0, [0, 4, 8]),
        ("qwen_omni_tiny", 0.0, [0, 25, 50]),
        ("qwen_omni_tiny", 4.0, [0, 12, 25]),
    ],
)
def test_positions_follow_the_rate_that_is_told(name: str, fps: float, apart: list[int]) -> None:
    found = positions(name, window=6, video_fps=fps).reshape(3, -1)
    assert (found == found[:, :1]).all(), "one time a pair"
    assert (found[:, 0] - found[0, 0]).tolist() == apart


@pytest.mark.parametrize(
    ("changes", "what", "fix"),
    [
        ({"window": 5}, "pairs of frames", "multiple of 2"),
        ({"window": 1}, "pairs of frames", "multiple of 2"),
        ({"window": 18}, "longer than any", "at most 16"),
        ({"video": False, "window": 4, "video_fps": 4.0}, "times of a video", "video = true"),
    ],
)
@pytest.mark.parametrize("name", PROMPTS)
def test_windows_that_are_no_video(
    name: str, changes: dict[str, object], what: str, fix: str
) -> None:
    recipe = load_recipe(ENGINES / name)
    cut = msgspec.structs.replace(recipe.text.cut, **{"video": True, **changes})
    with pytest.raises(ConfigWrong, match=what) as refused:
        Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)
    assert fix in refused.value.fix


def test_tribe_takes_its_window_by_itself() -> None:
    recipe = load_recipe(ENGINES / "tribev2_tiny")
    cut = msgspec.structs.replace(recipe.text.cut, video=True)
    with pytest.raises(ConfigWrong, match="disagree") as refused:
        Recipe(msgspec.structs.replace(recipe.text, cut=cut), recipe.directory)
    assert "video = False" in refused.value.fix


@pytest.mark.parametrize("name", PROMPTS)
def test_a_video_asks_the_published_config_for_what_it_counts_by(name: str) -> None:
    still, moving = load_recipe(ENGINES / name).adaptor, filmed(name, window=4).adaptor
    more = {key.rpartition(".")[2] for key in moving.settings().keys() - still.settings().keys()}
    assert (
        more
        == {
            "qwen_vl_tiny": {"video_token_id", "tokens_per_second"},
            "qwen_omni_tiny": {"video_token_index", "position_id_per_seconds"},
            "cosmos_reason2_tiny": {"video_token_id"},
        }[name]
    )
