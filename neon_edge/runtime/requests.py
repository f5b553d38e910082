"""What others may ask of a running robot: a UNIX socket, one request and one reply a connection.

The supervisor looks at it between its other work and waits for nobody; the control process never
hears of it. JSON either way, in one packet each (SOCK_SEQPACKET).
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from neon_edge.clock import Clock
from neon_edge.errors import DeviceMissing, UsageWrong
from neon_edge.runtime.rundir import PREFIX, place, runtime_directory

NAME = "neon-edge.sock"
PACKET_BYTES = 65536
CALLERS = 16
PATIENCE_NS = 10_000_000_000
SILENCE_NS = 1_000_000_000
"""What a caller may take to say what it wants."""

ASK_S = 2 * PATIENCE_NS / 1e9


class Request(Struct, frozen=True, forbid_unknown_fields=True):
    """What is asked, and for `say` the instruction."""

    ask: str
    text: str = ""


class Reply(Struct, frozen=True):
    """`told` holds what was asked for; without `done`, the three lines of an error."""

    done: bool
    told: dict[str, str | int | float | None] = {}
    wrong: str = ""
    facts: str = ""
    fix: str = ""


Answer = Callable[[], Reply | None]
"""Asked at every look until it has a reply."""
Asked = Callable[[str], Answer]
_CROWDED = Reply(
    False, wrong="too many ask at once", facts=f"{CALLERS} wait already", fix="ask again"
)


def socket_path(directory: Path) -> Path:
    """Where a run's socket stands: systemd's RuntimeDirectory if there is one."""
    return (runtime_directory() or directory) / NAME


class Requests:
    """The supervisor's end: `known` maps what may be asked to who answers."""

    def __init__(self, path: Path, known: Mapping[str, Asked], clock: Clock) -> None:
        self.path = path
        self._known = known
        self._clock = clock
        self._callers: list[tuple[socket.socket, Answer | None, int]] = []
        if is_alive(path):
            raise UsageWrong(
                "another robot already answers here", str(path), "stop it first: one run a service"
            )
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(str(path))
        # The robot's own group may speak to it.
        path.chmod(0o660)
        self._socket.listen(CALLERS)
        self._socket.setblocking(False)

    def look(self) -> None:
        """Accept, read and answer whatever is ready. Never waits."""
        with contextlib.suppress(BlockingIOError):
            while len(self._callers) < 2 * CALLERS:
                caller, _ = self._socket.accept()
                caller.setblocking(False)
                self._callers.append((caller, None, self._clock.now_ns() + SILENCE_NS))
        kept = []
        for caller, answer, until_ns in self._callers:
            now_ns = self._clock.now_ns()
            try:
                pending = answer or self._heard(caller)
            except OSError:
                caller.close()
                continue
            patient_ns = until_ns if pending is answer else now_ns + PATIENCE_NS
            reply = None if pending is None else _replied(pending)
            if reply is None and now_ns < patient_ns:
                kept.append((caller, pending, patient_ns))
            else:
                _hang_up(caller, reply)
        # Whoever has said nothing makes room, the oldest first: what comes next may be a stop.
        kept.sort(key=lambda caller: caller[1] is not None)
        crowd = max(len(kept) - CALLERS, 0)
        for caller, _, _ in kept[:crowd]:
            _hang_up(caller, _CROWDED)
        self._callers = kept[crowd:]

    def _heard(self, caller: socket.socket) -> Answer | None:
        """What the caller wants to know; None while it has said nothing."""
        try:
            packet = caller.recv(PACKET_BYTES)
        except BlockingIOError:
            return None
        try:
            request = msgspec.json.decode(packet, type=Request)
        except msgspec.MsgspecError as failure:
            refused = Reply(False, wrong="not a request", facts=str(failure))
            return lambda: refused
        asked = self._known.get(request.ask)
        if asked is None:
            unknown = Reply(
                False,
                wrong=f"nobody here answers {request.ask!r}",
                facts=f"known: {', '.join(sorted(self._known))}",
                fix="use the neon-edge that the robot runs",
            )
            return lambda: unknown
        try:
            return asked(request.text)
        except OSError as failure:
            failed = _failed(failure)
            return lambda: failed

    def close(self) -> None:
        """Hang up on everybody and remove the socket."""
        for caller, _, _ in self._callers:
            caller.close()
        self._callers.clear()
        self._socket.close()
        self.path.unlink(missing_ok=True)


def _replied(pending: Answer) -> Reply | None:
    try:
        return pending()
    except OSError as failure:
        return _failed(failure)


def _failed(failure: OSError) -> Reply:
    return Reply(
        False,
        wrong="the run could not do that",
        facts=str(failure),
        fix="is there room in /dev/shm? neon-edge doctor",
    )


def _hang_up(caller: socket.socket, reply: Reply | None) -> None:
    silent = Reply(
        False,
        wrong="the robot did not answer in time",
        facts=f"waited {PATIENCE_NS // 10**9} s, {SILENCE_NS // 10**9} s where nothing was asked",
        fix="is its backbone process alive? neon-edge status",
    )
    with contextlib.suppress(OSError):
        caller.send(msgspec.json.encode(reply or silent))
    caller.close()


def find_socket(given: str = "") -> Path:
    """The socket of the one robot that runs here. Raises `DeviceMissing`, or `UsageWrong` for two.

    `given` is a socket or a run's directory.
    """
    if given:
        path = Path(given)
        return path / NAME if path.is_dir() else path
    places = [Path("/run/neon-edge"), *sorted(place().glob(PREFIX + "*"))]
    found = [path for directory in places if is_alive(path := directory / NAME)]
    if not found:
        raise DeviceMissing(
            "no robot runs on this machine, or none that you may speak to",
            f"looked in {', '.join(str(directory) for directory in places)}",
            "start it (neon-edge run), or name its socket: --socket PATH",
        )
    if len(found) > 1:
        raise UsageWrong(
            "several robots run on this machine",
            ", ".join(str(path) for path in found),
            "name one: --socket PATH",
        )
    return found[0]


def is_alive(path: Path) -> bool:
    """Whether somebody listens at this socket."""
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller,
    ):
        caller.connect(str(path))
        return True
    return False


def ask(path: Path, request: Request, patience_s: float = ASK_S) -> Reply:
    """Ask a running robot and wait for its reply. Raises `DeviceMissing` where none answers.

    Raises `UsageWrong` where the words are no text, as bytes on a command line may be.
    """
    try:
        packet = msgspec.json.encode(request)
    except UnicodeEncodeError as failure:
        raise UsageWrong(
            "these words are not text",
            f"{request.text[:80]!r}: {failure.reason}",
            "write them in UTF-8",
        ) from None
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
            caller.settimeout(patience_s)
            caller.connect(str(path))
            caller.send(packet)
            return msgspec.json.decode(caller.recv(PACKET_BYTES), type=Reply)
    except (OSError, msgspec.MsgspecError) as failure:
        raise DeviceMissing(
            "the robot does not answer", f"{path}: {failure}", "does it still run?"
        ) from None
