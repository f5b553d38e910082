"""GPTQModel's own INT4 of the network that `bench_quantise` judges, in an environment of its own.

    python -m venv peer && peer/bin/pip install torch==2.13.0 numpy setuptools wheel
    peer/bin/pip install --no-build-isolation gptqmodel==7.7.0
    python tests/bench/bench_quantise.py --write-peer DIR
    peer/bin/python tests/bench/peer_gptqmodel.py DIR
    python tests/bench/bench_quantise.py --gptqmodel DIR/quantised

DIR has the float model as Hugging Face writes it and `ids.npz`, the token ids of the passages that
ours is calibrated on. Symmetric, groups of 64, no act-order, the library's other defaults. Its log
goes to DIR too.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(directory: Path) -> None:
    """Quantise DIR/float into DIR/quantised."""
    directory = directory.resolve()
    os.chdir(directory)
    # On two cores its own default is one worker, which another default of its refuses.
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")
    import numpy as np
    from gptqmodel import GPTQModel, QuantizeConfig

    with np.load(directory / "ids.npz") as stored:
        passages = [stored[name].tolist() for name in sorted(stored.files)]
    calibration = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in passages]
    settings = QuantizeConfig(bits=4, group_size=64, sym=True, desc_act=False)
    model = GPTQModel.load(str(directory / "float"), settings, device="cpu")
    model.quantize(calibration, batch_size=1)
    model.save(str(directory / "quantised"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
