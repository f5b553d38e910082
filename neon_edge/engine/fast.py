"""What a manifest says about a `fast` head beside its graphs."""

from __future__ import annotations

from msgspec import Struct


class FastManifest(Struct, frozen=True, forbid_unknown_fields=True):
    """How the tokens of a `fast` head become a chunk: see `engine.action_tokens`."""

    tokenizer: str
    """A tokenizers JSON file beside the manifest."""
    tokenizer_sha256: str
    scale: float
    min_token: int
    budget: int
    """Tokens of a chunk at most."""
