"""Swapping a head: what does not fit is refused with both sides, what fits costs no tick."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from neon_edge.clock import FakeClock, MonotonicClock
from neon_edge.config import load_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.manifest import HeadsManifest, Part, TensorSpec
from neon_edge.errors import PlanUnfit
from neon_edge.heads.several import Head, SeveralHeads
from neon_edge.runtime import swap_in
from neon_edge.runtime.headset import HeadPlan, base_driver, refuse_swap, undriven
from neon_edge.runtime.loop import Tick, Ticker, control_loop
from neon_edge.runtime.spec import RunSpec, read_spec, replaced, write_spec
from neon_edge.runtime.swap_in import SwapIn
from neon_edge.runtime.swapping import SwapNote, SwapOrder, write_whole
from neon_edge.types import Features, Float32, JointState, Setpoint
from tests.engine.machines import manifest_of
from tests.heads.test_several import LEGS, NAMES, head, manifest, state

ROBOT = load_robot("sim")
RUNNING = "0" * 16
BACKBONE = msgspec.structs.replace(manifest_of().backbone, model_hash=RUNNING, recipe="small")
PATIENCE_S = 30


def plan(name: str = "legs", **changes: Any) -> HeadPlan:
    heads = msgspec.structs.replace(manifest(LEGS, base=True), **changes)
    return HeadPlan(HeadsChoice(name=name), "/nowhere", heads, None)


def test_the_same_shape_fits() -> None:
    refuse_swap(plan(), plan(checkpoint="another", head_type="flow"), BACKBONE)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({"backbone_hash": "f" * 16}, f"it was built for {'f' * 16}, running is {RUNNING}"),
        (
            {"joint_names": [LEGS[1], LEGS[0], *LEGS[2:]]},
            f"joint 0: running {LEGS[0]!r}, wanted {LEGS[1]!r}",
        ),
        ({"joint_names": LEGS[:-1]}, f"joint 5: running {LEGS[5]!r}, wanted none"),
        ({"base_velocity": False}, "base: running True, wanted False"),
        ({"steps": 8}, "steps: running 4, wanted 8"),
        ({"grippers": [LEGS[0]]}, f"grippers: running [], wanted [{LEGS[0]!r}]"),
        (
            {"sensors": [TensorSpec("imu", [1, 9])]},
            "sensors: running [], wanted [('imu', [1, 9])]",
        ),
    ],
)
def test_what_differs_is_refused_with_both_sides(changes: dict[str, Any], facts: str) -> None:
    with pytest.raises(PlanUnfit) as caught:
        refuse_swap(plan(), plan(**changes), BACKBONE)
    assert caught.value.facts == facts


def test_a_head_that_attends_needs_a_backbone_that_gives_its_tokens_out() -> None:
    takes = TensorSpec("tokens", [1, 160, 128])
    made = Part(name="decoder", onnx="", onnx_sha256="", inputs=[], outputs=[takes])
    attends = plan(
        slow_parts=[Part(name="slow", onnx="", onnx_sha256="", inputs=[takes], outputs=[])]
    )
    with pytest.raises(PlanUnfit, match="'legs' attends to the backbone's tokens") as caught:
        refuse_swap(plan(), attends, BACKBONE)
    assert caught.value.facts == "160 rows wanted, 0 given (recipe 'small')"
    shows = msgspec.structs.replace(BACKBONE, parts=[made])
    refuse_swap(plan(), attends, shows)
    refuse_swap(attends, plan(), shows)


def test_who_drives_what_is_known_before_anything_is_opened() -> None:
    plans = [plan(), HeadPlan(HeadsChoice(name="arms"), "", manifest([NAMES[20]]), None)]
    assert base_driver(plans, ROBOT) == "legs"
    assert undriven(plans, ROBOT) == [n for n in NAMES if n not in (*LEGS, NAMES[20])]


class Loop:
    """A tick that does nothing but ask heads and let them be swapped."""

    def __init__(self, heads: SeveralHeads, swap: SwapIn, open_now: threading.Event) -> None:
        self._heads = heads
        self._swap = swap
        self._open_now = open_now
        self.ticks: list[int] = []
        self.wanted: list[float] = []
        self.taken = (0, 0)

    def read(self) -> JointState:
        return state()

    def latest(self) -> Features:
        return Features(np.zeros(8, np.float32), 5, 6, 1, 7)

    def decide(self, features: Features, joints: JointState, tick: Tick) -> Setpoint | None:
        return self._heads.setpoint(features, joints, tick.start_ns, tick.number)

    def make_safe(self, setpoint: Setpoint | None, *_: object) -> Float32:
        assert setpoint is not None
        return setpoint.position.copy()

    def write(self, command: Float32) -> int:
        self.wanted.append(float(command[0]))
        return 0

    def record(self, tick: Tick, *_: object) -> None:
        self.ticks.append(tick.number)
        if tick.number == 50:
            self._swap.asked()
        if tick.number == 60:  # what it took to open, in ticks: stated, not left to chance
            self._open_now.set()
            for _ in range(PATIENCE_S * 1000):
                if self._swap._ready is not None:
                    break
                wait()
        order = self._swap.look(tick.number)
        if order:
            self.taken = (order, tick.number)


def wait() -> None:
    clock = MonotonicClock()
    clock.sleep_until_ns(clock.now_ns() + 1_000_000)


@pytest.fixture
def spec(tmp_path: Path) -> Iterator[RunSpec]:
    yield RunSpec(robot=ROBOT, plans="", directory=str(tmp_path), heads=[plan()])


@pytest.fixture(autouse=True)
def none_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A thread that a failed test leaves waiting would keep the process from ending."""
    started: list[SwapIn] = []
    start = SwapIn.start

    def noted(swap: SwapIn) -> None:
        started.append(swap)
        start(swap)

    monkeypatch.setattr(SwapIn, "start", noted)
    yield
    for swap in started:
        if not swap._ended:
            swap.close()


def note_of(spec: RunSpec) -> SwapNote:
    for _ in range(PATIENCE_S * 1000):
        if spec.swap_done.exists():
            return msgspec.json.decode(spec.swap_done.read_bytes(), type=SwapNote)
        wait()
    raise AssertionError("no word on the swap")


def test_a_swap_under_way_misses_no_tick_and_ramps(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = SeveralHeads([head("legs", LEGS, 0.0, base=True)], ROBOT)
    closed: list[str] = []
    monkeypatch.setattr(heads.heads[0].network.engine, "close", lambda: closed.append("old"))
    open_now, asked_for = threading.Event(), []

    def open_head(wanted: HeadPlan, _: object) -> Head:
        asked_for.append(wanted.heads.checkpoint)
        assert open_now.wait(PATIENCE_S)
        return head("legs", LEGS, 1.0, base=True)

    monkeypatch.setattr(swap_in, "open_head", open_head)
    order = SwapOrder(3, 0, plan(checkpoint="new"), 0.2)
    spec.swap_wanted.write_bytes(msgspec.json.encode(order))
    swap = SwapIn(spec, heads, MonotonicClock())
    swap.start()
    loop = Loop(heads, swap, open_now)
    control_loop(Ticker(50.0, FakeClock(), 100), loop)  # type: ignore[arg-type]
    assert loop.ticks == list(range(100))
    assert loop.taken == (3, 60)
    assert asked_for == ["new"]
    assert loop.wanted[:61] == [0.0] * 61
    assert loop.wanted[70:] == [1.0] * 30
    ramp = np.diff(loop.wanted[60:71])
    assert (ramp > 0).all()
    assert ramp.max() < 0.2
    assert note_of(spec) == SwapNote(3, 60)
    assert closed == ["old"]
    swap.close()


def test_a_head_that_does_not_open_leaves_the_old_one_and_says_why(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_head(*_: object) -> Head:
        raise PlanUnfit("it does not open", "facts", "fix")

    monkeypatch.setattr(swap_in, "open_head", open_head)
    heads = SeveralHeads([head("legs", LEGS, 0.0, base=True)], ROBOT)
    before = heads.heads[0]
    spec.swap_wanted.write_bytes(msgspec.json.encode(SwapOrder(1, 0, plan(), 0.2)))
    swap = SwapIn(spec, heads, MonotonicClock())
    swap.start()
    swap.asked()
    assert note_of(spec) == SwapNote(1, 0, "it does not open", "facts", "fix")
    assert swap.look(5) == 0
    assert heads.heads == [before]
    swap.close()


def test_a_head_that_breaks_while_it_opens_leaves_the_thread_for_the_next(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_head(wanted: HeadPlan, _: object) -> Head:
        raise RuntimeError("the engine's own words")

    monkeypatch.setattr(swap_in, "open_head", open_head)
    swap = SwapIn(spec, SeveralHeads([head("legs", LEGS, 0.0, base=True)], ROBOT), MonotonicClock())
    swap.start()
    swap.asked()  # a signal that nobody meant: there is no order
    for number in (1, 2):
        spec.swap_done.unlink(missing_ok=True)
        write_whole(spec.swap_wanted, SwapOrder(number, 0, plan(), 0.2))
        swap.asked()
        note = note_of(spec)
        assert note.number == number
        assert "the engine's own words" in note.facts
    assert not spec.swap_wanted.exists()
    swap.close()


def test_a_head_that_no_tick_took_is_not_called_swapped(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []
    new = head("legs", LEGS, 1.0, base=True)
    monkeypatch.setattr(new.network.engine, "close", lambda: closed.append("new"))
    monkeypatch.setattr(swap_in, "open_head", lambda *_: new)
    swap = SwapIn(spec, SeveralHeads([head("legs", LEGS, 0.0, base=True)], ROBOT), MonotonicClock())
    spec.swap_wanted.write_bytes(msgspec.json.encode(SwapOrder(1, 0, plan(), 0.2)))
    swap.start()
    swap.asked()
    while swap._ready is None:
        wait()
    swap.close()
    assert note_of(spec).wrong == "the run ended before the new head was taken"
    assert closed == ["new"]


def test_a_run_that_was_swapped_restarts_with_what_ran(spec: RunSpec) -> None:
    path = write_spec(replaced(spec, 0, plan(checkpoint="new")))
    assert read_spec(path).heads[0].heads.checkpoint == "new"
    assert spec.heads[0].heads.checkpoint == "c"


def test_a_manifest_travels_whole() -> None:
    part = Part(name="heads", onnx="x", onnx_sha256="", inputs=[], outputs=[])
    sent = plan(part=part)
    assert msgspec.json.decode(msgspec.json.encode(sent), type=HeadPlan) == sent
    assert isinstance(sent.heads, HeadsManifest)


def test_an_end_waits_for_a_load_and_takes_no_more_orders(
    spec: RunSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads = SeveralHeads([head("legs", LEGS, 0.0, base=True)], ROBOT)
    loading, go_on, ended = threading.Event(), threading.Event(), []

    def open_head(*_: object) -> Head:
        loading.set()
        assert go_on.wait(PATIENCE_S)
        ended.append("opened")
        return head("legs", LEGS, 1.0, base=True)

    monkeypatch.setattr(swap_in, "open_head", open_head)
    spec.swap_wanted.write_bytes(msgspec.json.encode(SwapOrder(1, 0, plan(), 0.2)))
    swap = SwapIn(spec, heads, MonotonicClock())
    swap.start()
    swap.asked()
    assert loading.wait(PATIENCE_S)
    threading.Timer(0.05, go_on.set).start()
    swap.close()
    assert ended == ["opened"]
    swap.asked()
