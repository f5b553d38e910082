"""`neon-edge VERB`: finds the verb, turns every error into three lines and an exit code."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback

from neon_edge import __version__
from neon_edge.errors import EXIT_BUG, NeonEdgeError

VERBS = {
    "build": "recipe + checkpoint → plans for this machine, verified",
    "calibrate": "clips or a LeRobot dataset → moments to quantise by, and how far they reach",
    "record": "a limp robot's cameras, sound and joints → an episode to calibrate on",
    "verify": "plans against the network they were made from, in radians, with a page to read",
    "inspect": "what is in a directory of plans, what it was made from, does it fit here",
    "run": "drive the robot",
    "doctor": "everything that must be true on this machine, each with its fix",
    "say": "a new instruction for a robot that runs",
    "swap": "another head for a robot that runs, without missing a tick",
    "status": "how a robot that runs is doing",
    "replay": "a recording once more through heads and safety: every command must come out equal",
    "robot": "a robot file from a URDF or an MJCF",
    "sim": "a robot's emulated motors, on channels that any program can open",
    "bus": "look at a robot's motors one bus at a time: ping, scan, dump, send, wiggle, home",
    "stop": "press a running robot's software e-stop: it damps until armed; or end its run",
    "arm": "let a damped or disarmed robot move again, from where it stands",
    "profile": "drive the robot, measure every stage, judge it against the robot's budget",
}

EXAMPLES = """examples:
  neon-edge build engines/qwen_omni_tiny --checkpoint my_checkpoint
  neon-edge run --robot sim --seconds 10
"""


def main(arguments: list[str] | None = None) -> int:
    """Run one verb; returns the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(
        prog="neon-edge", epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"neon-edge {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB")
    # Only the wanted verb is imported: help stays quick, and `run` never loads the build's torch.
    wanted = next((word for word in given if word in VERBS), None)
    for name, summary in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary)
        verb.add_argument("-v", "--verbose", action="store_true", help="tracebacks and detail")
        if name == wanted:
            importlib.import_module(f"neon_edge.cli.{name}").add_arguments(verb)
    options = parser.parse_args(given)
    if options.verb is None:
        parser.print_help()
        return 2
    try:
        code: int = importlib.import_module(f"neon_edge.cli.{options.verb}").main(options)
        sys.stdout.flush()
    except NeonEdgeError as failure:
        if options.verbose:
            traceback.print_exc()
        print(f"neon-edge: {failure}", file=sys.stderr)
        return failure.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read it has seen enough, as `| head` has; nothing more can be said there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception:
        traceback.print_exc()
        print("neon-edge: this is our bug; please report it with the lines above", file=sys.stderr)
        return EXIT_BUG
    return code
