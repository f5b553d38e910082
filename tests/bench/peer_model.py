"""SmolLM2 for a peer that quantises in an environment of its own, and what it made of it."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx

from neon_edge.build.importers import QuantisedCheckpoint, QuantisedLinear
from neon_edge.build.quantise.linears import find_linears
from tests.build.quantise.sentences import calibration_texts
from tests.build.quantise.smollm import SmolLm


def write_peer(smol: SmolLm, directory: Path, count: int, drawn: int) -> None:
    """DIRECTORY/float as Hugging Face writes it, and the ids of the first `count` passages."""
    config = copy.deepcopy(smol.model.config)
    # It says GGUF, which nothing can be saved as; the weights are float32 by now.
    vars(config).pop("quantization_config", None)
    plain = type(smol.model)(config)
    plain.load_state_dict(smol.model.state_dict())
    plain.save_pretrained(directory / "float")
    smol.tokenizer.save_pretrained(directory / "float")
    texts = calibration_texts(drawn, 0)[:count]
    ids = {f"{place:03}": smol.ids(text) for place, text in enumerate(texts)}
    np.savez(directory / "ids.npz", **ids)  # type: ignore[arg-type]


def published_layers(graph: Path, directory: Path) -> dict[str, QuantisedLinear]:
    """Every Linear of `graph` as the checkpoint in `directory` has it."""
    checkpoint = QuantisedCheckpoint(directory)
    names = [linear.name for linear in find_linears(onnx.load(graph))]
    return {name: checkpoint.layer(f"model.{name}") for name in names}
