"""QEMU's monitor (QMP) inside the guest: plug and unplug devices, as the host does.

Source: QEMU docs/interop/qmp-spec.rst.
"""

from __future__ import annotations

import json
import os
import select
from pathlib import Path
from time import monotonic

from pymmio.owner import Owner

PORTS = Path("/sys/class/virtio-ports")
ANSWER_S = 10.0


class MonitorError(Exception):
    """QEMU refused a command, or did not answer in time."""


class Monitor(Owner):
    """The monitor of a guest that has one (``guest="slots"``)."""

    def __init__(self) -> None:
        self._fd = os.open(_port("monitor"), os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._partial = b""
        self._count = 0
        self.events: list[dict[str, object]] = []
        try:
            self.command("qmp_capabilities")
        except MonitorError as error:
            if "negotiation is already complete" not in str(error):  # by an earlier case
                raise

    def command(self, name: str, **arguments: object) -> object:
        """Run a command and return what QEMU returned; events before that are kept."""
        self._count += 1
        number = f"{os.getpid()}-{self._count}"
        message: dict[str, object] = {"execute": name, "id": number}
        if arguments:
            message["arguments"] = arguments
        os.write(self._fd, json.dumps(message).encode() + b"\n")
        deadline = monotonic() + ANSWER_S
        while True:
            answer = self._message(deadline)
            if answer is None:
                raise MonitorError(f"{name}: no answer within {ANSWER_S:g} s")
            if "event" in answer:
                self.events.append(answer)
            elif answer.get("id") == number and "error" in answer:
                raise MonitorError(f"{name}: {answer['error']}")
            elif answer.get("id") == number:
                return answer["return"]

    def wait_event(self, name: str, timeout_s: float) -> dict[str, object]:
        """Return the next event of this name, also one that came earlier."""
        deadline = monotonic() + timeout_s
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            message = self._message(deadline)
            if message is None:
                raise MonitorError(f"no event {name} within {timeout_s:g} s")
            if "event" in message:
                self.events.append(message)

    def _message(self, deadline: float) -> dict[str, object] | None:
        while b"\n" not in self._partial:
            left_s = deadline - monotonic()
            ready, _, _ = select.select([self._fd], [], [], max(0.0, left_s))
            if not ready:
                return None
            self._partial += os.read(self._fd, 1 << 16)
        line, _, self._partial = self._partial.partition(b"\n")
        message = json.loads(line)
        assert isinstance(message, dict)
        return message

    def close(self) -> None:
        os.close(self._fd)


def _port(name: str) -> Path:
    for port in PORTS.iterdir():
        if (port / "name").read_text().strip() == name:
            return Path("/dev") / port.name
    raise MonitorError(f"this guest has no virtio port {name!r}")
