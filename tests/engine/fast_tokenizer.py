"""FAST by its published definition, in scipy and the tokenizers library: the oracle, and a trainer.

Nothing here imports the runtime. `fit` writes the published layout, trained on seeded chunks.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy.fft import dct, idct
from tokenizers import ByteLevelBPETokenizer, Tokenizer
from tokenizers.trainers import BpeTrainer


def waves(count: int, steps: int, columns: int, seed: int, swing: float = 0.8) -> Any:
    """Smooth chunks (count, steps, columns) inside [-swing, swing]."""
    random = np.random.default_rng(seed)
    time = np.linspace(0, 1, steps)[:, None]
    cycles = random.uniform(0, 0.7, (count, 1, columns))
    phase = random.uniform(0, 2 * np.pi, (count, 1, columns))
    return swing * np.sin(2 * np.pi * cycles * time + phase)


def quantised(chunk: Any, scale: float) -> Any:
    """Coefficients (steps, columns)."""
    return np.around(dct(chunk, axis=0, norm="ortho") * scale).astype(int)


def fit(
    directory: Path,
    chunks: Any,
    scale: float = 10.0,
    vocabulary: int = 300,
    spare: int = 0,
    **more: Any,
) -> None:
    """tokenizer.json and processor_config.json; `spare` coefficients beyond those seen."""
    coefficients = [quantised(chunk, scale).reshape(-1) for chunk in chunks]
    low = min(int(one.min()) for one in coefficients) - spare
    high = max(int(one.max()) for one in coefficients) + spare
    bpe = ByteLevelBPETokenizer()
    alphabet = {chr(code) for code in range(high - low + 1)}
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=2,
        show_progress=False,
        special_tokens=[],
        initial_alphabet=sorted(alphabet | set(_bytes_in(high - low))),
        max_token_length=10000,
    )
    texts = ("".join(chr(code - low) for code in one) for one in coefficients)
    bpe._tokenizer.train_from_iterator(texts, trainer=trainer)
    directory.mkdir(parents=True, exist_ok=True)
    bpe._tokenizer.save(str(directory / "tokenizer.json"))
    size = bpe._tokenizer.get_vocab_size()
    settings = {"scale": scale, "vocab_size": size, "min_token": low, **more}
    text = {"processor_class": "UniversalActionProcessor", "action_dim": None, **settings}
    (directory / "processor_config.json").write_text(json.dumps(text))


def _bytes_in(highest: int) -> list[str]:
    # The published alphabet lacks what stands for bytes of characters that the chunks did not
    # happen to use, and then drops them when it encodes: ours can say all it has room for.
    from tokenizers.pre_tokenizers import ByteLevel

    split = ByteLevel(add_prefix_space=False, use_regex=False)
    text = "".join(map(chr, range(highest + 1)))
    return list(split.pre_tokenize_str(text)[0][0])


def encode(directory: Path, chunk: Any) -> list[int]:
    """As published: coefficients below the least are raised to it."""
    settings = json.loads((directory / "processor_config.json").read_text())
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    codes = np.maximum(quantised(chunk, settings["scale"]).reshape(-1) - settings["min_token"], 0)
    return list(tokenizer.encode("".join(map(chr, codes)), add_special_tokens=False).ids)


def decode(directory: Path, ids: list[int], steps: int, columns: int) -> Any:
    """As published, zeros for what is no chunk included."""
    settings = json.loads((directory / "processor_config.json").read_text())
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    text = tokenizer.decode(ids, skip_special_tokens=False)
    try:
        coefficients = np.array([ord(one) for one in text]) + settings["min_token"]
        coefficients = coefficients.reshape(steps, columns)
    except ValueError:
        coefficients = np.zeros((steps, columns))
    return idct(coefficients / settings["scale"], axis=0, norm="ortho")
