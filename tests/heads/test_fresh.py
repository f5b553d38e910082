"""The fresh strategy maps by name, feeds back what it must, and refuses what does not match."""

import msgspec
import numpy as np
import pytest

from neon_edge.engine.contract import Array
from neon_edge.engine.manifest import HeadsManifest, Part, TensorSpec
from neon_edge.errors import ConfigWrong, PlanUnfit
from neon_edge.heads.fresh import FreshHeads
from neon_edge.heads.network import HeadNetwork
from neon_edge.heads.order import driven_joints
from neon_edge.types import Features, JointState

NAMES = ["a", "b", "c"]
STEPS = 4


class Recording:
    """An engine whose first row says what it was given: joints + pooled[0]."""

    def __init__(self, width: int = 6, steps: int = STEPS) -> None:
        self.inputs: dict[str, Array] = {
            "pooled": np.zeros((1, 8), np.float32),
            "joints": np.zeros((1, width), np.float32),
            "imu": np.zeros((1, 9), np.float32),
        }
        self.outputs: dict[str, Array] = {"chunk": np.zeros((1, steps, width), np.float32)}
        self.runs = 0

    def start(self) -> None:
        self.runs += 1
        self.outputs["chunk"][0, 0] = self.inputs["joints"][0] + self.inputs["pooled"][0, 0]

    def wait(self) -> None:
        pass

    def close(self) -> None:
        pass


def manifest(names: list[str] = NAMES, steps: int = STEPS) -> HeadsManifest:
    part = Part(name="heads", onnx="heads.onnx", onnx_sha256="", inputs=[], outputs=[])
    return HeadsManifest(
        checkpoint="c", checkpoint_sha256="", backbone_id="b", backbone_hash="0" * 16,
        head_type="mlp", control_mode="x", joint_names=names, base_velocity=True, steps=steps,
        sensors=[TensorSpec("imu", [1, 9])], part=part,
    )  # fmt: skip


def heads(engine: Recording, robot: list[str]) -> FreshHeads:
    return FreshHeads(HeadNetwork(engine, manifest(), robot, {"imu": np.ones(9, np.float32)}))


def joints(*position: float) -> JointState:
    values = np.array(position, np.float32)
    return JointState(values, values * 0, values * 0, np.ones(len(values), np.int64))


def features(value: float, sequence: int = 1) -> Features:
    return Features(np.full(8, value, np.float32), 5, 6, sequence, 7)


def test_without_features_there_is_nothing_to_want() -> None:
    engine = Recording()
    assert heads(engine, NAMES).setpoint(None, joints(0, 0, 0), 1, 1) is None
    assert engine.runs == 0


def test_joints_are_found_by_name_in_both_directions() -> None:
    robot = ["c", "spare", "a", "b"]
    setpoint = heads(Recording(), robot).setpoint(features(10), joints(3, 99, 1, 2), 1, 1)
    assert setpoint is not None
    assert setpoint.position.tolist() == [13, 0, 11, 12]
    assert setpoint.features_ns == 5


def test_the_head_runs_every_tick_on_fresh_joint_state_over_the_same_features() -> None:
    engine = Recording()
    strategy = heads(engine, NAMES)
    seen = features(1)
    for value in (0.1, 0.2, 0.3):
        setpoint = strategy.setpoint(seen, joints(value, 0, 0), 1, 1)
        assert setpoint is not None
        assert setpoint.position[0] == pytest.approx(value + 1)
    assert engine.runs == 3


class OneRow(Recording):
    """The same head, which makes the row that it is asked for alone: row k is k more."""

    def __init__(self) -> None:
        super().__init__(steps=1)
        self.inputs["row"] = np.zeros(1, np.int32)
        self.asked: list[int] = []

    def start(self) -> None:
        super().start()
        self.asked.append(int(self.inputs["row"][0]))
        self.outputs["chunk"][0, 0] += self.asked[-1]


@pytest.mark.parametrize(("ahead", "wanted"), [(0, [11.0, 12.0]), (3, [4.25, 6.9375])])
def test_no_other_row_is_made_than_the_one_looked_at(ahead: int, wanted: list[float]) -> None:
    engine = OneRow()
    network = HeadNetwork(engine, manifest(), NAMES, {"imu": np.ones(9, np.float32)})
    strategy = FreshHeads(network, ahead)
    found = []
    for at in (1, 2):
        setpoint = strategy.setpoint(features(10), joints(at, 0, 0), 1, 1)
        assert setpoint is not None
        found.append(float(setpoint.position[0]))
    assert engine.asked == [ahead, ahead]
    assert found == wanted


def test_who_wants_a_whole_chunk_of_an_engine_that_makes_one_row_is_refused() -> None:
    network = HeadNetwork(OneRow(), manifest(), NAMES, {"imu": np.ones(9, np.float32)})
    with pytest.raises(AssertionError, match="one row at a time"):
        network.run(features(1), np.zeros(3, np.float32))


def test_new_features_replace_old_ones() -> None:
    strategy = heads(Recording(), NAMES)
    strategy.setpoint(features(1, 1), joints(0, 0, 0), 1, 1)
    setpoint = strategy.setpoint(features(2, 2), joints(0, 0, 0), 2, 2)
    assert setpoint is not None
    assert setpoint.position.tolist() == [2, 2, 2]


def test_the_last_wanted_base_velocity_is_fed_back_but_never_a_nan() -> None:
    engine = Recording()
    strategy = heads(engine, NAMES)
    strategy.setpoint(features(1, 1), joints(0, 0, 0), 1, 1)
    strategy.setpoint(features(1, 1), joints(0, 0, 0), 2, 2)
    assert engine.inputs["joints"][0, 3:].tolist() == [1, 1, 1]
    strategy.setpoint(features(float("nan"), 2), joints(0, 0, 0), 3, 3)
    strategy.setpoint(features(1, 3), joints(0, 0, 0), 4, 4)
    assert engine.inputs["joints"][0, 3:].tolist() == [0, 0, 0]


def test_a_missing_sensor_is_refused_by_name() -> None:
    with pytest.raises(ConfigWrong, match="trained with 'imu'"):
        HeadNetwork(Recording(), manifest(), NAMES, {})


def test_a_sensor_of_another_size_is_refused() -> None:
    with pytest.raises(ConfigWrong, match="another size"):
        HeadNetwork(Recording(), manifest(), NAMES, {"imu": np.ones(6, np.float32)})
    # As many numbers, in a shape that the checkpoint does not have.
    with pytest.raises(ConfigWrong, match=r"another size"):
        HeadNetwork(Recording(), manifest(), NAMES, {"imu": np.ones((3, 3), np.float32)})


def test_a_plan_of_another_shape_is_refused() -> None:
    with pytest.raises(PlanUnfit, match="does not produce"):
        HeadNetwork(Recording(steps=3), manifest(), NAMES, {"imu": np.ones(9, np.float32)})


def test_a_joint_the_robot_lacks_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(PlanUnfit, match="does not have") as refused:
        driven_joints(["left_knee", "left_hip"], ["left_knee_joint", "left_hip"])
    assert "left_knee_joint" in refused.value.facts


def sampling() -> HeadsManifest:
    return msgspec.structs.replace(manifest(), noise=TensorSpec("noise", [1, STEPS, 6]))


@pytest.mark.parametrize("shape", [None, (1, STEPS, 5), (2, STEPS, 6), (STEPS, 6)])
def test_noise_of_another_shape_is_refused(shape: tuple[int, ...] | None) -> None:
    engine = Recording()
    if shape is not None:
        engine.inputs["noise"] = np.zeros(shape, np.float32)
    with pytest.raises(PlanUnfit, match="other noise") as refused:
        HeadNetwork(engine, sampling(), NAMES, {"imu": np.ones(9, np.float32)})
    assert f"manifest [1, {STEPS}, 6]" in refused.value.facts


def test_noise_that_the_manifest_does_not_know_is_refused() -> None:
    engine = Recording()
    engine.inputs["noise"] = np.zeros((1, STEPS, 6), np.float32)
    with pytest.raises(PlanUnfit, match="other noise"):
        HeadNetwork(engine, manifest(), NAMES, {"imu": np.ones(9, np.float32)})


def test_noise_is_drawn_with_the_features_held_between_them_and_seeded() -> None:
    def drawn(seed: int) -> list[Array]:
        engine = Recording()
        engine.inputs["noise"] = np.zeros((1, STEPS, 6), np.float32)
        network = HeadNetwork(engine, sampling(), NAMES, {"imu": np.ones(9, np.float32)}, seed)
        strategy = FreshHeads(network)
        seen = []
        for tick, sequence in enumerate((1, 1, 2, 2)):
            strategy.setpoint(features(0.0, sequence), joints(0, 0, 0), tick, tick)
            seen.append(engine.inputs["noise"].copy())
        return seen

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert np.array_equal(one[0], one[1]) and np.array_equal(one[2], one[3])
    assert not np.array_equal(one[1], one[2]) and one[0].all()
    assert np.array_equal(one, again) and not np.array_equal(one, other)
