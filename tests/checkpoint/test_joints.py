from operator import attrgetter

import pytest

from neon_edge.checkpoint.actions import action_space_of
from neon_edge.checkpoint.config import NeonConfig
from neon_edge.checkpoint.joints import MODES
from tests.checkpoint.upstream import action_space


@pytest.mark.parametrize("mode", MODES)
def test_every_joint_has_upstreams_numbers(mode: str) -> None:
    fields = "name group lower_limit upper_limit default_pos kp kd vel_limit effort_limit"
    theirs = map(attrgetter(*fields.split()), action_space(mode).active_joints)
    assert [tuple(joint) for joint in MODES[mode]] == list(theirs)


@pytest.mark.parametrize("locomotion", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_the_derived_action_space_is_upstreams(mode: str, locomotion: bool) -> None:
    ours = action_space_of(NeonConfig(control_mode=mode, include_locomotion=locomotion))
    theirs = action_space(mode, locomotion).to_dict()
    assert {name: getattr(ours, name) for name in theirs} == {
        **theirs,
        "locomotion_limits": tuple(theirs["locomotion_limits"]),
    }
    assert len(ours.columns) == len(ours.middle) == len(ours.half_range) == ours.action_dim
