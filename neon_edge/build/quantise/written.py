"""A float bundle and quantised layers → a bundle of its own, its graphs in TensorRT's form."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx
from msgspec import structs

from neon_edge.build.compile import share
from neon_edge.build.importers import QuantisedLinear
from neon_edge.build.onnx_file import save
from neon_edge.build.quantise.lint import lint
from neon_edge.build.quantise.place import place
from neon_edge.engine.files import sha256_file, weights_of
from neon_edge.engine.manifest import Manifest, Part, write_manifest

LayersOf = Callable[[Part, onnx.ModelProto], Mapping[str, QuantisedLinear]]


def write_placed(bundle: Path, stated: Manifest, layers_of: LayersOf, target: Path) -> None:
    """Write `target`: every part of `bundle` with its layers in place, all else linked.

    `stated` is the float bundle's manifest with what is to be said of the new one; hashes are
    filled in here. Raises `ConfigWrong` where a graph breaks a rule of `lint`.
    """
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    digest = hashlib.sha256(stated.backbone.model_hash.encode())
    parts = []
    for part in stated.backbone.parts:
        model = onnx.load(str(bundle / part.onnx))
        place(model, layers_of(part, model))
        lint(model)
        save(model, target / part.onnx)
        sha256 = sha256_file(target / part.onnx)
        digest.update(sha256.encode())
        parts.append(structs.replace(part, onnx_sha256=sha256))
    _share_the_rest(bundle, stated, target)
    model_hash = digest.hexdigest()[:16]
    backbone = structs.replace(stated.backbone, parts=parts, model_hash=model_hash)
    heads = structs.replace(stated.heads, backbone_hash=model_hash)
    write_manifest(target, structs.replace(stated, backbone=backbone, heads=heads))


def _share_the_rest(bundle: Path, stated: Manifest, target: Path) -> None:
    prompt = stated.backbone.prompt
    others = [prompt.tokenizer, prompt.embeddings, stated.verification.samples]
    others += stated.heads.files
    for head in stated.heads.parts:
        others += [head.onnx, weights_of(Path(head.onnx)).name]
    for name in others:
        if (bundle / name).exists():
            share(bundle / name, target / name)
