"""Real-time chunking against the paper's equations and LeRobot's formula, each said again here."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neon_edge.engine.euler import EulerEngine
from neon_edge.errors import ConfigWrong
from neon_edge.heads.rtc import (
    Guidance,
    check_envelope,
    guidance_weight,
    rebased,
    shifted,
    soft_mask,
)

Array = Any
STEPS, COLUMNS, EULER = 16, 3, 4

# arXiv 2506.07339, equation 5, with H = 16, d = 4, s = 6.
LINEAR = [1, 1, 1, 1, 0.857, 0.714, 0.571, 0.429, 0.286, 0.143, 0, 0, 0, 0, 0, 0]
EXP = [1, 1, 1, 1, 0.677, 0.433, 0.256, 0.133, 0.055, 0.013, 0, 0, 0, 0, 0, 0]


def paper_mask(steps: int, delay: int, executed: int, schedule: str) -> Array:
    """Equation 5, row by row: c_i = (H - s - i) / (H - s - d + 1)."""
    weights = []
    for i in range(steps):
        c = (steps - executed - i) / (steps - executed - delay + 1)
        falling = c * (math.exp(c) - 1) / (math.e - 1) if schedule == "exp" else c
        weights.append(1.0 if i < delay else falling if i < steps - executed else 0.0)
    return np.array(weights)


def lerobot_mask(steps: int, start: int, end: int, schedule: str) -> Array:
    """`RTCProcessor.get_prefix_weights`: a linspace between leading ones and trailing zeros."""
    start = min(start, end)
    falling = np.linspace(1, 0, end - start + 2)[1:-1]
    if schedule == "exp":
        falling = falling * np.expm1(falling) / (math.e - 1)
    return np.concatenate([np.ones(start), falling, np.zeros(steps - end)])


@pytest.mark.parametrize("schedule", ["linear", "exp"])
def test_the_mask_is_the_published_table(schedule: Any) -> None:
    wanted = LINEAR if schedule == "linear" else EXP
    assert soft_mask(16, 4, 6, schedule) == pytest.approx(wanted, abs=5e-4)


@given(st.data())
def test_the_mask_is_the_papers_and_lerobots(data: st.DataObject) -> None:
    steps = data.draw(st.integers(2, 50))
    delay = data.draw(st.integers(1, steps // 2))
    executed = data.draw(st.integers(delay, steps - delay))
    schedule: Any = data.draw(st.sampled_from(["linear", "exp"]))
    mask = soft_mask(steps, delay, executed, schedule)
    assert np.abs(mask - paper_mask(steps, delay, executed, schedule)).max() <= 1e-6
    assert np.abs(mask - lerobot_mask(steps, delay, steps - executed, schedule)).max() <= 1e-6


def test_four_steps_are_guided_as_published() -> None:
    weights = [guidance_weight(at / 4, 5.0) for at in range(4)]
    assert weights == pytest.approx([5, 10 / 3, 2, 10 / 3])


@given(st.floats(0.01, 0.99), st.floats(0.5, 20))
def test_a_step_is_guided_as_equation_two_says(time: float, beta: float) -> None:
    r_squared = (1 - time) ** 2 / (time**2 + (1 - time) ** 2)
    wanted = min(beta, (1 - time) / (time * r_squared))
    assert guidance_weight(time, beta) == pytest.approx(wanted, rel=1e-9)


class Field:
    """A smooth velocity field with a Jacobian known in closed form: v = A tanh(B x) + c t."""

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        size = STEPS * COLUMNS
        self.a, self.b = random.normal(0, 0.3, (2, size, size))
        self.c = random.normal(0, 1, size)

    def velocity(self, x: Array, time: float) -> Array:
        flat = self.a @ np.tanh(self.b @ x.reshape(-1)) + self.c * time
        return flat.reshape(x.shape)

    def jacobian(self, x: Array) -> Array:
        return self.a @ np.diag(1 - np.tanh(self.b @ x.reshape(-1)) ** 2) @ self.b


def paper(
    field: Field, noise: Array, target: Array, mask: Array, beta: float, exact: bool
) -> Array:
    """Algorithm 1's guided inference: equations 1 to 4, with the Jacobian as a matrix."""
    x, steps = noise.astype(np.float64), EULER
    weights = np.repeat(mask, COLUMNS)
    for k in range(steps):
        tau = k / steps
        v = field.velocity(x, tau)
        estimate = x + (1 - tau) * v
        jacobian = np.eye(x.size)
        if exact:
            jacobian = jacobian + (1 - tau) * field.jacobian(x)
        pulled = ((target - estimate).reshape(-1) * weights) @ jacobian
        r_squared = (1 - tau) ** 2 / (tau**2 + (1 - tau) ** 2)
        weight = beta if tau == 0 else min(beta, (1 - tau) / (tau * r_squared))
        x = x + (v + weight * pulled.reshape(x.shape)) / steps
    return x


def lerobot(field: Field, noise: Array, target: Array, mask: Array, bound: float) -> Array:
    """`RTCProcessor.denoise_step` and Euler: time falls from 1, velocity is noise - action.

    Its model runs without gradients, so `autograd.grad(x1_t, x_t, err)` is `err`.
    """
    x, dt = noise.astype(np.float64), -1.0 / EULER
    for k in range(EULER):
        time = 1.0 + k * dt
        v = -field.velocity(x, 1 - time)
        x1 = x - time * v
        err = (target - x1) * mask[:, None]
        tau = 1 - time
        inv_r2 = ((1 - tau) ** 2 + tau**2) / (1 - tau) ** 2
        with np.errstate(divide="ignore"):
            c = np.nan_to_num(np.float64(1 - tau) / tau, posinf=bound)
        weight = min(np.nan_to_num(c * inv_r2, posinf=bound), bound)
        x = x + dt * (v - weight * err)
    return x


class Computed:
    """An engine in float64 that is a function of its inputs."""

    def __init__(self, inputs: Any, outputs: Any, run: Any) -> None:
        self.inputs = {name: np.zeros(shape) for name, shape in inputs.items()}
        self.outputs = {name: np.zeros(shape) for name, shape in outputs.items()}
        self._run = run

    def start(self) -> None:
        self._run(self.inputs, self.outputs)

    def wait(self) -> None: ...

    def close(self) -> None: ...


def ours(field: Field, noise: Array, target: Array, mask: Array, beta: float, exact: bool) -> Array:
    """What the robot runs: `EulerEngine` under `Guidance`, on the field's velocity and Jacobian."""
    chunk = (1, *target.shape)

    def condition(given: Any, made: Any) -> None:
        made["modulation"][:, 0] = np.arange(EULER) / EULER
        made["gain"][:] = 1

    def velocity(given: Any, made: Any) -> None:
        made["velocity"][0] = field.velocity(given["x"][0], given["modulation"][0, 0])

    def pull(given: Any, made: Any) -> None:
        made["pulled"][:] = (given["error"].reshape(-1) @ field.jacobian(given["x"])).reshape(chunk)

    step = {"x": chunk, "modulation": (1, 1)}
    made = {"modulation": (EULER, 1), "base": chunk, "gain": chunk}
    engine = EulerEngine(
        Computed({"pooled": (1, 1)}, made, condition),
        Computed(step, {"velocity": chunk}, velocity),
        Computed({**step, "error": chunk}, {"pulled": chunk}, pull),
    )
    engine.inputs["noise"][0] = noise
    engine.guide = Guidance(target, np.zeros_like(target), mask, beta, exact)
    engine.start()
    engine.wait()
    latent = engine.outputs["latent"][0]
    assert np.array_equal(engine.outputs["chunk"][0], np.tanh(latent))
    return latent


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beta", [5.0, 10.0])
@pytest.mark.parametrize("exact", [False, True], ids=["free", "true"])
def test_the_guided_flow_is_the_papers(seed: int, beta: float, exact: bool) -> None:
    random = np.random.default_rng(seed)
    noise, target = random.normal(0, 1, (2, STEPS, COLUMNS))
    mask, field = soft_mask(STEPS, 3, 5, "exp").astype(np.float64), Field(seed)
    wanted = paper(field, noise, target, mask, beta, exact)
    found = ours(field, noise, target, mask, beta, exact)
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("schedule", ["linear", "exp"])
def test_jacobian_free_is_what_lerobot_deploys(seed: int, schedule: Any) -> None:
    random = np.random.default_rng(seed)
    noise, target = random.normal(0, 1, (2, STEPS, COLUMNS))
    mask, field = soft_mask(STEPS, 2, 6, schedule).astype(np.float64), Field(seed)
    theirs = lerobot_mask(STEPS, 2, STEPS - 6, schedule)
    wanted = lerobot(field, noise, target, theirs, 10.0)
    found = ours(field, noise, target, mask, 10.0, exact=False)
    assert np.abs(found - wanted).max() <= 1e-6 * np.abs(wanted).max()


def test_outside_its_envelope_it_refuses_with_the_numbers() -> None:
    for delay, executed in ((5, 5), (5, 11), (8, 8), (1, 15)):
        check_envelope(16, delay, executed)
    for delay, executed in ((5, 4), (5, 12), (9, 9), (10, 10), (1, 16)):
        with pytest.raises(ConfigWrong, match="cannot join") as refused:
            check_envelope(16, delay, executed)
        assert f"H = 16, delay d = {delay}, executed s = {executed}" in refused.value.facts


def test_a_moved_base_keeps_the_actions_where_it_can() -> None:
    random = np.random.default_rng(0)
    latent, old, move = random.normal(0, 0.5, (3, STEPS, COLUMNS)).astype(np.float32)
    gain = np.full_like(old, 2.0)
    new = old + 0.1 * move
    actions = new + gain * np.tanh(rebased(latent, old, new, gain))
    assert np.abs(actions - (old + gain * np.tanh(latent))).max() <= 1e-5
    assert np.isfinite(rebased(latent, old, old + 10, gain)).all()


def test_a_shift_drops_what_was_executed() -> None:
    latent = np.arange(12, dtype=np.float32).reshape(4, 3)
    assert shifted(latent, 1).tolist() == [[3, 4, 5], [6, 7, 8], [9, 10, 11], [0, 0, 0]]


@given(st.integers(1, 20), st.integers(0, 60))
def test_a_shift_past_the_end_leaves_nothing(steps: int, executed: int) -> None:
    latent = np.arange(1, 2 * steps + 1, dtype=np.float32).reshape(steps, 2)
    left = shifted(latent, executed)
    kept = max(steps - executed, 0)
    assert left.shape == latent.shape
    assert np.array_equal(left[:kept], latent[steps - kept :])
    assert not left[kept:].any()
