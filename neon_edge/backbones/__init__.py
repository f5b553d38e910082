"""One adaptor a family of backbones: its configuration, its prompt, and where it is cut."""

from neon_edge.backbones.contract import Adaptor, Cut, PartPlan, Reference, Template, TensorSource
from neon_edge.backbones.registry import adaptor_class, families

__all__ = [
    "Adaptor",
    "Cut",
    "PartPlan",
    "Reference",
    "Template",
    "TensorSource",
    "adaptor_class",
    "families",
]
