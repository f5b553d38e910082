"""Several heads on one backbone: each drives its own, and a swap ramps from the old setpoint."""

from __future__ import annotations

import dataclasses

import msgspec
import numpy as np
import pytest

from neon_edge.config import RobotConfig, load_robot
from neon_edge.config.check import check_robot
from neon_edge.config.heads import HeadsChoice
from neon_edge.engine.contract import Array
from neon_edge.engine.manifest import HeadsManifest, Part, TensorSpec
from neon_edge.errors import ConfigWrong, PlanUnfit
from neon_edge.heads.fresh import FreshHeads
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.several import Head, SeveralHeads, driven_by
from neon_edge.heads.strategy import Heads
from neon_edge.types import Features, JointState, Setpoint

ROBOT = load_robot("sim")
NAMES = ROBOT.joint_names
ARMS, LEGS = NAMES[15:22], NAMES[:6]


class Constant:
    """An engine that always wants one value of every column."""

    def __init__(self, columns: int, value: float) -> None:
        self.inputs: dict[str, Array] = {
            "pooled": np.zeros((1, 8), np.float32),
            "joints": np.zeros((1, columns), np.float32),
        }
        self.outputs: dict[str, Array] = {"chunk": np.full((1, 4, columns), value, np.float32)}

    def start(self) -> None: ...

    def wait(self) -> None: ...

    def close(self) -> None: ...


def manifest(
    names: list[str], base: bool = False, grippers: list[str] | None = None
) -> HeadsManifest:
    part = Part(name="heads", onnx="heads.onnx", onnx_sha256="", inputs=[], outputs=[])
    return HeadsManifest(
        checkpoint="c", checkpoint_sha256="", backbone_id="b", backbone_hash="0" * 16,
        head_type="mlp", control_mode="x", joint_names=names, base_velocity=base, steps=4,
        sensors=[], part=part, grippers=grippers or [],
    )  # fmt: skip


def head(
    name: str, names: list[str], value: float, base: bool = False, drives: tuple[str, ...] = ()
) -> Head:
    about = manifest(names, base)
    network = HeadNetwork(Constant(len(names) + 3 * base, value), about, NAMES, {})
    joints, owns_base = driven_by(name, drives, about, ROBOT)
    return Head(name, network, FreshHeads(network), joints, owns_base)


class MadeFrom:
    """A strategy whose setpoint says that it was made of features captured then."""

    def __init__(self, inner: Heads, captured_ns: int) -> None:
        self.inner = inner
        self.driven = inner.driven
        self._captured_ns = captured_ns

    def setpoint(
        self, features: Features | None, joints: JointState, at_ns: int, tick: int
    ) -> Setpoint | None:
        wanted = self.inner.setpoint(features, joints, at_ns, tick)
        return wanted and dataclasses.replace(wanted, features_ns=self._captured_ns)


def made_from(own: Head, captured_ns: int) -> Head:
    return dataclasses.replace(own, strategy=MadeFrom(own.strategy, captured_ns))


def state(value: float = 0.0) -> JointState:
    values = np.full(len(NAMES), value, np.float32)
    return JointState(values, values * 0, values * 0, np.ones(len(NAMES), np.int64))


FEATURES = Features(np.zeros(8, np.float32), 5, 6, 1, 7)


def test_each_head_drives_what_it_names_and_the_rest_is_undriven() -> None:
    heads = SeveralHeads(
        [
            head("arms", ARMS, 0.25),
            head("walk", LEGS, 0.5, base=True, drives=("base",)),
            head("legs", LEGS, -0.5, base=True, drives=tuple(LEGS[:2])),
        ],
        ROBOT,
    )
    wanted = heads.setpoint(FEATURES, state(), 9, 1)
    assert wanted is not None
    assert heads.driven.tolist() == [0, 1, *range(15, 22)]
    assert wanted.position[15:22].tolist() == [0.25] * 7
    assert wanted.position[:2].tolist() == [-0.5] * 2
    assert wanted.base_velocity.tolist() == [0.5] * 3
    assert (wanted.features_ns, wanted.at_ns) == (5, 9)


def test_the_oldest_features_of_all_heads_are_the_setpoints() -> None:
    heads = [head("arms", ARMS, 0.25), head("legs", LEGS, 0.5)]
    aged = [made_from(each, ns) for each, ns in zip(heads, (7, 900), strict=True)]
    for order in (aged, aged[::-1]):
        wanted = SeveralHeads(order, ROBOT).setpoint(FEATURES, state(), 1000, 1)
        assert wanted is not None
        assert wanted.features_ns == 7


def test_without_features_none_of_it() -> None:
    heads = SeveralHeads([head("arms", ARMS, 0.25), head("legs", LEGS, 0.5)], ROBOT)
    assert heads.setpoint(None, state(), 9, 1) is None


@pytest.mark.parametrize(("one", "other"), [(("base",), ()), ((), (LEGS[1],))])
def test_what_two_heads_drive_is_refused_with_both_names(
    one: tuple[str, ...], other: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigWrong, match="two heads drive") as caught:
        SeveralHeads(
            [head("walk", LEGS, 0, base=True, drives=one), head("run", LEGS, 0, True, other)], ROBOT
        )
    assert caught.value.facts == "'walk' and 'run'"


def test_a_head_cannot_drive_what_its_checkpoint_does_not_have() -> None:
    with pytest.raises(PlanUnfit, match="head 'arms' cannot drive left_knee, base"):
        head("arms", ARMS, 0, drives=("left_knee", "base"))


def test_a_robot_file_with_several_heads() -> None:
    choices = [
        HeadsChoice(name="arms", drives=list(ARMS)),
        HeadsChoice(name="walk", plans="other", drives=["base"], strategy="chunk"),
    ]
    robot: RobotConfig = msgspec.structs.replace(ROBOT, heads=choices)
    check_robot(robot)
    again = msgspec.json.decode(msgspec.json.encode(robot), type=RobotConfig)
    assert again.head_choices == choices
    assert [choice.name for choice in ROBOT.head_choices] == ["heads"]
    for wrong, match in (
        ([choices[0], HeadsChoice(name="arms")], "head names must be unique"),
        ([HeadsChoice(drives=["left_nee"])], "drives a joint that the robot does not have"),
        ([choices[1], HeadsChoice(drives=["base"])], "two heads drive base velocity"),
        ([], "the robot has no head"),
    ):
        with pytest.raises(ConfigWrong, match=match):
            check_robot(msgspec.structs.replace(ROBOT, heads=wrong))


def test_a_swap_ramps_from_the_old_setpoint_and_ends_on_the_new_ones() -> None:
    heads = SeveralHeads([head("arms", ARMS, 0.0), head("walk", LEGS, 0.5, base=True)], ROBOT)
    heads.setpoint(FEATURES, state(), 1, 1)
    old = heads.replace(1, head("walk", LEGS, 1.5, base=True), 0.2)
    assert old.name == "walk"
    seen = []
    for tick in range(2, 14):
        wanted = heads.setpoint(FEATURES, state(), tick, tick)
        assert wanted is not None
        assert wanted.position[15:22].tolist() == [0] * 7
        assert (wanted.position[:6] == wanted.base_velocity[0]).all()
        seen.append(float(wanted.base_velocity[0]))
    share = np.arange(1, 11) / 10
    smooth = share**3 * (10 - 15 * share + 6 * share**2)
    assert seen[:10] == pytest.approx(0.5 + smooth, abs=1e-6)
    assert seen[9:] == [1.5] * 3


def test_a_swap_before_anything_was_wanted_or_behind_what_is_not_finite_does_not_ramp() -> None:
    for value in (None, np.nan):
        heads = SeveralHeads([head("arms", ARMS, np.nan)], ROBOT)
        if value is not None:
            heads.setpoint(FEATURES, state(), 1, 1)
        heads.replace(0, head("arms", ARMS, 0.5), 1.0)
        wanted = heads.setpoint(FEATURES, state(), 2, 2)
        assert wanted is not None
        assert wanted.position[15:22].tolist() == [0.5] * 7


def test_a_measured_base_velocity_is_what_the_head_feels() -> None:
    walk = head("walk", LEGS, 0.5, base=True)
    heads = SeveralHeads([walk], ROBOT)
    felt = walk.network.engine.inputs["joints"][0, 6:]
    heads.setpoint(FEATURES, state(), 1, 1)
    heads.setpoint(FEATURES, state(), 2, 2)
    assert felt.tolist() == [0.5] * 3  # nothing measures: what was wanted last
    moving = state()
    moving.base_velocity[:], moving.base_received_ns = [0.25, 0, -1], 2
    heads.setpoint(FEATURES, moving, 3, 3)
    assert felt.tolist() == [0.25, 0, -1]


GRIP = "left_wrist_yaw"


@pytest.mark.parametrize(
    ("value", "rad"), [(0, 0.5), (1, -0.75), (0.5, -0.125), (9, -0.75), (-1, 0.5)]
)
def test_an_opening_becomes_an_angle_between_the_robots_two(value: float, rad: float) -> None:
    about = manifest([*LEGS, GRIP], grippers=[GRIP])
    network = HeadNetwork(Constant(7, value), about, NAMES, {}, openings={GRIP: (0.5, -0.75)})
    wanted = FreshHeads(network).setpoint(FEATURES, state(0.25), 1, 1)
    assert wanted is not None
    assert wanted.position[NAMES.index(GRIP)] == pytest.approx(rad)
    assert wanted.position[0] == value
    assert network.engine.inputs["joints"][0, 6] == pytest.approx((0.25 - 0.5) / -1.25)
    assert network.engine.inputs["joints"][0, 0] == 0.25


def test_a_gripper_that_is_no_number_stays_none_for_safety_to_see() -> None:
    about = manifest([GRIP], grippers=[GRIP])
    network = HeadNetwork(Constant(1, np.nan), about, NAMES, {}, openings={GRIP: (0.5, -0.75)})
    wanted = FreshHeads(network).setpoint(FEATURES, state(), 1, 1)
    assert wanted is not None
    assert np.isnan(wanted.position[NAMES.index(GRIP)])


def test_a_gripper_without_its_two_angles_is_refused() -> None:
    with pytest.raises(PlanUnfit, match="does not say how far"):
        HeadNetwork(Constant(1, 0), manifest([GRIP], grippers=[GRIP]), NAMES, {})


def test_a_robot_files_opening_lies_inside_its_limits() -> None:
    for opening in ((0.1, 0.1), (0.0, 99.0)):
        joint = msgspec.structs.replace(ROBOT.joints[0], opening=opening)
        with pytest.raises(ConfigWrong, match="cannot open and close"):
            check_robot(msgspec.structs.replace(ROBOT, joints=[joint, *ROBOT.joints[1:]]))


def test_every_head_senses_the_newest_readings_it_was_trained_with_a_swapped_one_too() -> None:
    def sensing(sensors: dict[str, list[int]]) -> Head:
        own = head("arms", ARMS, 0.0)
        engine = own.network.engine
        specs = [TensorSpec(name, [1, *shape]) for name, shape in sensors.items()]
        engine.inputs |= {spec.name: np.zeros(spec.shape, np.float32) for spec in specs}  # type: ignore[operator]
        about = msgspec.structs.replace(manifest(ARMS), sensors=specs)
        given = {name: np.zeros(shape, np.float32) for name, shape in sensors.items()}
        network = HeadNetwork(engine, about, NAMES, given)
        return dataclasses.replace(own, network=network, strategy=FreshHeads(network))

    first = sensing({"force": [2], "tactile": [2, 1]})
    heads = SeveralHeads([first], ROBOT)
    force, tactile = np.float32([1, 2]), np.float32([[3], [4]])
    heads.readings = {"force": force, "tactile": tactile, "gps": np.float32([9])}
    heads.setpoint(FEATURES, state(), 1, 1)
    assert first.network.engine.inputs["force"].tolist() == [[1, 2]]
    assert first.network.engine.inputs["tactile"].tolist() == [[[3], [4]]]
    force[:] = 5, 6
    second = sensing({"force": [2]})
    heads.replace(0, second, 1.0)
    heads.setpoint(FEATURES, state(), 2, 2)
    assert second.network.engine.inputs["force"].tolist() == [[5, 6]]
    assert first.network.engine.inputs["force"].tolist() == [[1, 2]]
