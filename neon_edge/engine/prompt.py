"""The words of a pass, as token ids."""

from __future__ import annotations

from msgspec import Struct, field


class Prompt(Struct, frozen=True, forbid_unknown_fields=True):
    """The chat template around pictures and instruction, as token ids."""

    before: list[int]
    """Ids ahead of the first picture."""
    between: list[int]
    """Ids between the last picture and the instruction."""
    after: list[int]
    """Ids behind the instruction."""
    text_tokens: int
    """Room for all text ids; a shorter instruction is padded at the end and weighs nothing."""
    pad_id: int
    tokenizer: str
    """A tokenizers JSON file beside the manifest."""
    embeddings: str
    """The embedding table (vocabulary, width), .npy, memory-mapped beside the manifest."""
    separator: list[int] = field(default_factory=list)
    """Ids between two pictures of a pass."""
    heard: list[int] = field(default_factory=list)
    """Ids between the sound, which stands behind `between`, and the instruction."""
    folded: int = 0
    """Leading ids of `before` that are constants in the graphs: the host feeds no rows of them."""
    gaps: list[list[int]] = field(default_factory=list)
    """Ids between one step of a video and the next, in their order, in place of `separator`."""

    def between_steps(self, count: int) -> list[list[int]]:
        """Ids between `count` pictures, or pairs of a video's frames, in their order."""
        return self.gaps or [self.separator] * (count - 1)
