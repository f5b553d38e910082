"""The backbone's tokenizer: the published one, or a small one trained on the text below.

A trained one has the published one's structure (byte-level BPE, the family's special tokens at the
ids that the recipe gives them), so that everything behind it is the same code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer

from neon_edge.backbones import Adaptor
from neon_edge.build.weights import Weights
from neon_edge.errors import ConfigWrong

_INSTRUCTIONS = """\
You are a helpful assistant. system user assistant
Pick up the red cup and put it on the table. Pick up the blue block and hand it to me.
Put the green bottle into the box. Place the plate on the shelf next to the bowl.
Walk forward and stop in front of the door. Turn left, then walk to the kitchen.
Turn around slowly and look at the person. Wave with the right hand. Wave with the left hand.
Open the drawer with your left arm. Close the door behind you. Push the button on the wall.
Stand still and keep your balance. Raise both arms above the head. Lower your arms.
Follow the bicycle along the street. Watch the road and point at the bike that comes next.
Hold the tray level with both hands. Grasp the handle, pull it towards you and let go.
Move the left foot back, bend the knees and stand up again. Step over the cable on the floor.
Give the tool to the worker on your right. Wipe the table with the cloth and return to the start.
Move 10 cm to the left, 25 cm up, then 3 cm down. Stop. Wait for 5 seconds and go on.
"""


def open_tokenizer(weights: Weights, adaptor: Adaptor) -> Tokenizer:
    """The tokenizer that belongs to `weights`. Raises `ConfigWrong` where it does not fit."""
    if weights.directory is None:
        tokenizer = train_tokenizer(adaptor.special_tokens)
    else:
        tokenizer = published_tokenizer(weights.directory)
    for token, wanted in adaptor.special_tokens.items():
        found = tokenizer.token_to_id(token)
        if found != wanted:
            raise ConfigWrong(
                "the tokenizer is not this backbone's",
                f"token {token!r} is {found}, the recipe says {wanted}",
                "use the tokenizer that was published with the weights",
            )
    return tokenizer


def published_tokenizer(directory: Path) -> Tokenizer:
    """tokenizer.json, or what vocab.json and merges.txt make. Raises `ConfigWrong`."""
    path = directory / "tokenizer.json"
    try:
        if path.exists():
            return Tokenizer.from_file(str(path))
        from transformers import AutoTokenizer

        slow = AutoTokenizer.from_pretrained(str(directory))
        return Tokenizer.from_str(slow.backend_tokenizer.to_str())
    except Exception as failure:
        raise ConfigWrong(
            f"no tokenizer can be read in {directory}",
            " ".join(str(failure).split())[:300],
            "download tokenizer.json that was published with the weights",
        ) from failure


def train_tokenizer(special: Mapping[str, int]) -> Tokenizer:
    """Byte-level BPE on a few dozen robot instructions; the same every time."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained.train_from_iterator(
        _INSTRUCTIONS.splitlines(),
        BpeTrainer(
            vocab_size=min(special.values()),
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    learned = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in learned["merges"]]
    # A special token that the model already knows keeps its id when it is added.
    tokenizer = Tokenizer(models.BPE(vocab={**learned["vocab"], **special}, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return tokenizer
