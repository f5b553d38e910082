"""A recipe is tracked text that says how a backbone becomes plans: engines/NAME/recipe.toml."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, structs

from neon_edge.backbones import Adaptor, Cut, adaptor_class
from neon_edge.backbones.contract import Joined
from neon_edge.build.calibrate.window import Window
from neon_edge.config import decode_toml
from neon_edge.engine.manifest import Verification
from neon_edge.errors import ConfigWrong

FILE_NAME = "recipe.toml"
ENGINES = Path("engines")

Config = TypeVar("Config")
Precision = Literal["fp32", "fp16", "bf16"]
Positive = Annotated[float, Meta(gt=0)]


class Gates(Struct, frozen=True, forbid_unknown_fields=True):
    """What a build must reach; above either, it fails."""

    pooled_relative: Positive
    """Largest error of the pooled features over their largest magnitude."""
    joint_rad: Positive
    """Largest joint error in rad; also in m/s, rad/s and openings for all columns that are none."""


class Quantise(Struct, frozen=True, forbid_unknown_fields=True):
    """How the Linears are quantised, and what the result must reach. See `build.quantise`."""

    to: Literal["none", "int8", "int4", "auto"] = "none"
    skip: list[str] = []
    """Linears, as PART/NAME, that stay in float whatever the gate says."""
    int8: list[str] = []
    """Linears, as PART/NAME with * for any part of it, that are W8A8 where the rest is INT4."""
    rounding: Literal["gptq", "awq", "awq+gptq", "nearest"] = "gptq"
    """How 4 bits are chosen."""
    ranges: Literal["search", "max", "percentile", "entropy"] = "search"
    """How far 8-bit activations reach."""
    skip_share: Annotated[float, Meta(ge=0, le=1)] = 0.15
    """Part of the Linear weights that may stay in float."""
    sensitivity: Annotated[int, Meta(ge=0)] = 12
    """Groups of Linears whose effect on the features is measured where the gate is missed."""
    samples: Annotated[int, Meta(ge=2)] = 16
    """Moments to calibrate on."""
    set_aside: Annotated[int, Meta(ge=4)] = 16
    """Moments to judge by: half for what goes back to float, half for what is reported."""
    seed: int = 0
    cosine: Annotated[float, Meta(gt=0, lt=1)] = 0.99
    """Least cosine of a sample's pooled features with the float network's."""
    joint_p99_rad: Positive = 0.02
    joint_max_rad: Positive = 0.05
    joint_rad_s: Positive = 1.0
    """Of how fast a joint's error changes from row to row of a chunk."""
    base_m_s: Positive = 0.02
    base_rad_s: Positive = 0.05
    opening: Positive = 0.02
    """Of a gripper, 1 being all that it opens."""

    def limits(self, verification: Verification) -> Verification:
        """`verification` held to this in place of a float recipe's gates."""
        return structs.replace(
            verification,
            cosine=self.cosine,
            joint_p99_rad=self.joint_p99_rad,
            joint_rad=self.joint_max_rad,
            joint_rad_s=self.joint_rad_s,
            base_m_s=self.base_m_s,
            base_rad_s=self.base_rad_s,
            opening=self.opening,
        )


class _Family(Struct):
    family: str


class RecipeText(Struct, Generic[Config], frozen=True, forbid_unknown_fields=True):
    """The file, word for word; `config` is the family's own table."""

    name: str
    family: str
    model_id: str
    """Where the weights are published; the manifest records it."""
    revision: str
    licence: str
    weights: str
    """The default: a directory, a hub id, or random:SEED."""
    cut: Cut
    config: Config
    gates: Gates
    precision: Precision = "fp32"
    embeddings: Literal["float32", "float16"] = "float32"
    """How the embedding table is stored; rows are widened when they are gathered."""
    quantise: Quantise = Quantise()


class Recipe:
    """A recipe that has been read, and the adaptor it configures."""

    def __init__(self, text: RecipeText[Any], directory: Path) -> None:
        self.text = text
        self.directory = directory
        self.adaptor: Adaptor = adaptor_class(text.family)(text.config, text.cut)

    @property
    def name(self) -> str:
        """As the file says it."""
        return self.text.name

    @property
    def gates(self) -> Gates:
        """What a build must reach."""
        return self.text.gates

    @property
    def window(self) -> Window:
        """The pictures of a pass: so many of each camera, so far apart."""
        adaptor, cut = self.adaptor, self.text.cut
        if isinstance(adaptor, Joined):
            return Window(adaptor.image.count, 1 / adaptor.streams.rates.window_hz)
        return Window(cut.window, 1 / cut.window_hz if cut.window > 1 else 0.0, cut.pictures)

    @property
    def config_bytes(self) -> bytes:
        """All that shapes the features, weights and tokenizer aside, in one canonical form."""
        text = self.text
        cut = msgspec.to_builtins(text.cut)
        # The features are the same, shown or not, and so heads without tokens fit both.
        del cut["tokens"]
        return msgspec.json.encode(
            [text.family, text.config, cut, text.precision, text.embeddings],
            order="sorted",
        )


def find_recipe(name: str | Path) -> Path:
    """The recipe.toml that NAME, DIR or FILE means. Raises `ConfigWrong` with what there is."""
    given = Path(name)
    candidates = [given, given / FILE_NAME, ENGINES / given / FILE_NAME]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    there = ", ".join(sorted(path.parent.name for path in ENGINES.glob(f"*/{FILE_NAME}")))
    raise ConfigWrong(
        f"no recipe called {str(name)!r}",
        f"looked for {', '.join(str(candidate) for candidate in candidates)}",
        f"use one of {there}" if there else "run from the repository, or give the recipe's path",
    )


def load_recipe(name: str | Path) -> Recipe:
    """Find, decode and check a recipe. Never loads torch. Raises `ConfigWrong`."""
    path = find_recipe(name)
    family = adaptor_class(_family(path))
    text = decode_toml(path, RecipeText[family.config_type])  # type: ignore[name-defined]
    return Recipe(text, path.parent)


def _family(path: Path) -> str:
    # Leniently, because which keys are allowed depends on the answer.
    return decode_toml(path, _Family).family
