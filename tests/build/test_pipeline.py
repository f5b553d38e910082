"""What a build is asked for is done or refused, before any work and with the reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from neon_edge.build.pipeline import BuildRequest, build
from neon_edge.engine.manifest import write_manifest
from neon_edge.errors import UsageWrong
from tests.engine.machines import manifest_of
from tests.tiny_backbone import ENGINES

TINY = str(ENGINES / "qwen_omni_tiny")


def quiet(_: str) -> None:
    """Steps are for people."""


@pytest.fixture
def bundle(tmp_path: Path) -> BuildRequest:
    plain = manifest_of(machine=None)
    whole = replace(plain, backbone=replace(plain.backbone, quantised="int8"))
    (tmp_path / "bundle").mkdir()
    write_manifest(tmp_path / "bundle", whole)
    return BuildRequest(str(tmp_path / "bundle"), out=tmp_path / "out")


@pytest.mark.parametrize(
    ("flag", "given"),
    [
        ("--precision int4", {"precision": "int4"}),
        ("--precision auto", {"precision": "auto"}),
        ("--precision none", {"precision": "none"}),
        ("--calibration", {"calibration": Path("set")}),
        ("--checkpoint", {"checkpoint": Path("heads")}),
        ("--weights", {"weights": "random:1"}),
        ("--clip", {"clip": "street.mp4"}),
        ("--bundle-only", {"bundle_only": True}),
    ],
)
def test_flags_of_a_recipe_are_refused_for_a_bundle(
    bundle: BuildRequest, flag: str, given: dict[str, object]
) -> None:
    asked = BuildRequest(bundle.recipe, out=bundle.out, **given)  # type: ignore[arg-type]
    with pytest.raises(UsageWrong, match=f"{flag} means nothing") as refused:
        build(asked, quiet)
    assert "precision int8" in refused.value.facts
    assert refused.value.exit_code == 2
    assert bundle.out is not None
    assert not bundle.out.exists()


def test_the_precision_that_a_bundle_has_may_be_said(
    bundle: BuildRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neon_edge.build import pipeline

    monkeypatch.setattr(pipeline, "compile_bundle", lambda *given: Path("plans"))
    asked = BuildRequest(bundle.recipe, out=bundle.out, precision="int8")
    assert build(asked, quiet) == Path("plans")


def test_auto_without_compiling_is_refused(tmp_path: Path) -> None:
    asked = BuildRequest(
        TINY, tmp_path / "heads", out=tmp_path / "out", bundle_only=True, precision="auto"
    )
    with pytest.raises(UsageWrong, match="a bundle alone is not compiled") as refused:
        build(asked, quiet)
    assert "--precision is auto" in refused.value.facts
    assert not (tmp_path / "out").exists()


def test_auto_that_the_recipe_says_is_refused_too(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    text = (ENGINES / "qwen_omni_tiny" / "recipe.toml").read_text()
    recipe.write_text(text + '\n[quantise]\nto = "auto"\n')
    asked = BuildRequest(
        str(recipe), tmp_path / "heads", "random:0", tmp_path / "out", bundle_only=True
    )
    with pytest.raises(UsageWrong, match="a bundle alone") as refused:
        build(asked, quiet)
    assert "the recipe's quantise.to is auto" in refused.value.facts


def test_a_clip_beside_a_calibration_set_is_refused(tmp_path: Path) -> None:
    asked = BuildRequest(
        TINY,
        tmp_path / "heads",
        "random:0",
        tmp_path / "out",
        clip="street.mp4",
        calibration=tmp_path,
    )
    with pytest.raises(UsageWrong, match="calibration set's own moments"):
        build(asked, quiet)
    assert not (tmp_path / "out").exists()
