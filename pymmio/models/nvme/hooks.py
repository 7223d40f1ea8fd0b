"""Handles for tests: hold commands back, make them fail, be stuck, be gone.

Use them from the thread that drives the device, or while no other thread does: the
model has no lock of its own (whoever serves it calls it from one thread at a time).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymmio.models.nvme.command import Command
from pymmio.models.nvme.queues import SubmissionQueue

if TYPE_CHECKING:
    from pymmio.models.nvme.controller import NvmeModel

__all__ = ["Hooks", "Predicate"]

Predicate = Callable[[int, Command], bool]
"""Called with the submission queue identifier (0: admin) and the command."""


@dataclass(slots=True)
class _Failure:
    status: int
    predicate: Predicate | None
    count: int


class Hooks:
    """Deviations of one controller; as long as none is set they cost nothing.

    ``gone``: registers read as all ones and writes are lost, as after a surprise removal.
    ``stuck``: CSTS.RDY keeps its value whatever CC.EN says, and a controller reset does
    not happen; a reset of the function still works.  ``stuck_shutdown``: CSTS.SHST stays
    at "shutdown processing occurring".
    """

    def __init__(self, model: NvmeModel) -> None:
        self._model = model
        self.gone = False
        self.stuck = False
        self.stuck_shutdown = False
        self.active = False
        self._holds: list[Predicate] = []
        self._failures: list[_Failure] = []
        self._held: list[tuple[SubmissionQueue, Command]] = []

    @property
    def held(self) -> tuple[tuple[int, Command], ...]:
        """Commands that are held back now, oldest first, with their queue's identifier."""
        return tuple((queue.qid, command) for queue, command in self._held)

    def hold(self, predicate: Predicate | None = None) -> None:
        """Accept matching commands from now on, but neither execute nor complete them."""
        self._holds.append(predicate or (lambda qid, command: True))
        self.active = True

    def release(self) -> int:
        """Hold nothing any more; execute and complete what is held, oldest first.

        Returns the number of commands.  Their data is moved now: a driver that gave the
        memory back too early sees it written, or the IOMMU refuses.
        """
        self._holds.clear()
        self._update()
        held, self._held = self._held, []
        for queue, command in held:
            self._model.engine.finish_held(queue, command)
        self._model.engine.resume()
        return len(held)

    def fail(self, status: int, predicate: Predicate | None = None, *, count: int = 1) -> None:
        """Complete the next ``count`` matching commands with ``status``, not executed.

        ``status`` is the status field without the phase: type in bits 10:8, code in bits
        7:0, DNR in bit 14.
        """
        self._failures.append(_Failure(status, predicate, count))
        self.active = True

    def break_controller(self) -> None:
        """Set CSTS.CFS: a fatal error; nothing is processed until a reset."""
        self._model.fatal("injected")

    # --- called by the controller ------------------------------------------------------

    def intercept(self, queue: SubmissionQueue, command: Command) -> int | None:
        """Return None to execute a command, -1 if it is held, else the status to give."""
        for failure in self._failures:
            if failure.predicate is None or failure.predicate(queue.qid, command):
                failure.count -= 1
                if failure.count <= 0:
                    self._failures.remove(failure)
                    self._update()
                return failure.status
        if any(predicate(queue.qid, command) for predicate in self._holds):
            self._held.append((queue, command))
            return -1
        return None

    def drop(self, queue: SubmissionQueue, cid: int) -> bool:
        """Take a held command out because it is aborted; False if there is none such."""
        for entry in self._held:
            if entry[0] is queue and entry[1].cid == cid:
                self._held.remove(entry)
                return True
        return False

    def drop_all(self) -> None:
        """Forget what is held: the controller was reset."""
        self._held.clear()

    def _update(self) -> None:
        self.active = bool(self._holds or self._failures)
