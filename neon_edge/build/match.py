"""Whether a checkpoint's heads were trained on the backbone that a recipe builds."""

from __future__ import annotations

from neon_edge.build.heads import can_attend
from neon_edge.build.recipe import Recipe
from neon_edge.checkpoint.config import TribeSource
from neon_edge.checkpoint.load import Checkpoint
from neon_edge.errors import ConfigWrong


def check_match(recipe: Recipe, checkpoint: Checkpoint) -> None:
    """The heads were trained on this backbone, at this width. Raises `ConfigWrong`."""
    trained_on = checkpoint.config.model_id
    if trained_on != recipe.text.model_id:
        raise ConfigWrong(
            "these heads were trained on another backbone",
            f"checkpoint {trained_on!r}, recipe {recipe.text.model_id!r}",
            "use the recipe of that backbone, or retrain the heads",
        )
    if checkpoint.config.pooled_width != recipe.adaptor.width:
        raise ConfigWrong(
            "heads and backbone disagree about the width of the pooled features",
            f"checkpoint {checkpoint.config.pooled_width}, recipe {recipe.adaptor.width}",
            "use the recipe that the heads were trained on",
        )
    config = checkpoint.config
    taken = config.flow_cross_attention_dim or config.pooled_width
    if recipe.text.cut.tokens and can_attend(checkpoint) and taken != recipe.adaptor.width:
        raise ConfigWrong(
            "these heads attend to tokens of another width than the backbone's",
            f"flow_cross_attention_dim {taken}, recipe {recipe.adaptor.width}",
            "set cut.tokens = false to build them without tokens, or train them on this backbone's",
        )
    if checkpoint.config.backbone_type == "tribe":
        _check_fusion(recipe, checkpoint.config.tribe_backbone or TribeSource())


def _check_fusion(recipe: Recipe, trained: TribeSource) -> None:
    """What the fusion's tensors cannot show. Raises `ConfigWrong`."""
    fusion = recipe.text.config.fusion
    theirs = (trained.num_fusion_heads, trained.max_seq_len)
    ours = (fusion.num_heads, fusion.max_seq_len)
    if theirs != ours:
        raise ConfigWrong(
            "the checkpoint's fusion is not the recipe's",
            f"heads and room: {theirs} in the checkpoint, {ours} in the recipe",
            "use the recipe that the heads were trained on",
        )
