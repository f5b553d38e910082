"""A camera's window as one video: pairs of frames, and what the prompt says of their times.

    | … <|vision_start|> | pair | pair | pair | <|vision_end|> … |        Qwen2.5: positions tell
    | … <0.1 seconds> <|vision_start|> | pair | <|vision_end|> <0.6 seconds> … |   Qwen3-VL: words

Qwen3-VL's prompt is the published one. Upstream takes transformers below 5.3, which makes it so;
5.24 leaves the markers of the chat template around the whole as well.
"""

from __future__ import annotations

from msgspec import structs

from neon_edge.backbones.contract import Cut, Template
from neon_edge.engine.manifest import ImageGeometry
from neon_edge.errors import ConfigWrong

MAX_FRAMES = 16
"""Upstream's `max_frames`."""


def check_video(cut: Cut, temporal: int) -> None:
    """Raises `ConfigWrong` where a window is no video; `temporal` frames share their patches."""
    if not cut.video:
        if cut.video_fps:
            raise ConfigWrong(
                "video_fps counts the times of a video",
                f"video_fps = {cut.video_fps:g}, and video = false",
                "set video = true, or remove video_fps",
            )
        return
    if cut.window % temporal:
        raise ConfigWrong(
            "a video is cut into pairs of frames",
            f"window = {cut.window}, {temporal} frames share their patches",
            f"use a multiple of {temporal} for window, up to {MAX_FRAMES}",
        )
    if cut.window > MAX_FRAMES:
        raise ConfigWrong(
            "this video is longer than any that heads are trained on",
            f"window = {cut.window}, upstream takes up to {MAX_FRAMES} frames",
            f"use at most {MAX_FRAMES} for window",
        )


def filmed(template: Template, token: str, image: ImageGeometry) -> Template:
    """Pairs side by side between one pair of markers; cameras apart as pictures are."""
    video = [""] * (image.window // image.depth - 1)
    gaps = [*video, template.separator] * (image.count // image.window)
    return structs.replace(template, picture=token, gaps=tuple(gaps[:-1]))


def stamped(template: Template, token: str, image: ImageGeometry) -> Template:
    """Markers around every pair, and ahead of each the middle of its frames' times, in words."""
    seconds = [frame / image.video_fps for frame in range(image.window)]
    stamps = [
        f"<{(seconds[first] + seconds[first + image.depth - 1]) / 2:.1f} seconds>"
        for first in range(0, image.window, image.depth)
    ]
    end, start = template.between, template.separator.removeprefix(template.between)
    gaps = [end + stamps[step % len(stamps)] + start for step in range(1, image.steps)]
    before = template.before.removesuffix(start) + stamps[0] + start
    return structs.replace(template, before=before, picture=token, gaps=tuple(gaps))
