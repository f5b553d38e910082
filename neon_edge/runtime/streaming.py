"""Passes of a backbone whose senses run apart: when something is due, and whatever is missing."""

from __future__ import annotations

from neon_edge.features.streams import StreamedBackbone
from neon_edge.runtime.sensing import Moment


def take(backbone: StreamedBackbone, moment: Moment) -> bool:
    """Give the backbone what there is; True if a pass would make other features than the last.

    A sense that shows nothing of the world is zeros from this pass on. A robot that waits for its
    first picture or sound is not blind or deaf yet.
    """
    if not moment.begun:
        return False
    backbone.miss(moment.lacking)
    if "video" not in backbone.missing and moment.frames:
        backbone.see(moment.frames)
    if backbone.listens and "audio" not in backbone.missing and moment.sound is not None:
        backbone.hear(moment.sound)
    return backbone.due
