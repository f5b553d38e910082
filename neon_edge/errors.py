"""Every error a person can meet, each with its exit code.

    NeonEdgeError
     ├── GateMissed         1   measured, and it missed a budget or an accuracy gate
     ├── UsageWrong         2   the command line asks for something that cannot be
     ├── DeviceMissing     69   a camera, bus or motor is not there
     ├── BusFailed         74   a bus failed while the robot was running
     └── ConfigWrong       78   a robot file, recipe, checkpoint or bundle is wrong
          └── PlanUnfit    78   a plan does not fit this machine, this runtime or this robot

Anything else that reaches `main` is our bug: exit code 70.
"""

from __future__ import annotations

EXIT_BUG = 70


class NeonEdgeError(Exception):
    """Three lines for a person: what is wrong, the facts, what to do."""

    exit_code = EXIT_BUG

    def __init__(self, wrong: str, facts: str = "", fix: str = "") -> None:
        super().__init__(wrong)
        self.wrong = wrong
        self.facts = facts
        self.fix = fix

    def __str__(self) -> str:
        lines = [self.wrong]
        if self.facts:
            lines.append(f"  facts  {self.facts}")
        if self.fix:
            lines.append(f"  fix    {self.fix}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        # The default rebuilds from `args` alone and would lose two of the three lines.
        return (type(self), (self.wrong, self.facts, self.fix))


class GateMissed(NeonEdgeError):
    """A budget or an accuracy gate was measured and missed."""

    exit_code = 1


class UsageWrong(NeonEdgeError):
    """The command line asks for something that cannot be."""

    exit_code = 2


class DeviceMissing(NeonEdgeError):
    """A camera, a bus or a motor did not answer when it was opened."""

    exit_code = 69


class BusFailed(NeonEdgeError):
    """A bus that worked stopped working."""

    exit_code = 74


class ConfigWrong(NeonEdgeError):
    """A file that a person or another program wrote does not say something we can run."""

    exit_code = 78


class PlanUnfit(ConfigWrong):
    """A plan was made for another machine, another runtime, another backbone or another robot."""
