"""The namespaces of a controller, by id."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from pymmio_drivers.nvme.errors import InvalidNamespace, NamespaceNotFound
from pymmio_drivers.nvme.namespace import Namespace

if TYPE_CHECKING:
    from pymmio_drivers.nvme.controller import Controller

__all__ = ["Namespaces"]


class Namespaces(Mapping[int, Namespace]):
    """The active namespaces by id; each is identified when it is first used."""

    def __init__(self, controller: Controller, nsids: tuple[int, ...]) -> None:
        self._controller = controller
        self._nsids = nsids
        self._known: dict[int, Namespace] = {}

    def __getitem__(self, nsid: int) -> Namespace:
        if nsid not in self._known:
            if nsid not in self._nsids:
                active = ", ".join(map(str, self._nsids)) or "none"
                raise NamespaceNotFound(
                    f"{self._controller.name} has no active namespace {nsid}",
                    hint=f"Active: {active}. Controller.refresh() reads the list again",
                )
            identity = self._controller.admin.identify_namespace(nsid)
            self._known[nsid] = Namespace(self._controller, nsid, identity)
        return self._known[nsid]

    def usable(
        self, left_out: Callable[[InvalidNamespace], object] = lambda error: None
    ) -> list[Namespace]:
        """Return all that have blocks; ``left_out`` is told of each other one, and why."""
        found = []
        for nsid in self._nsids:
            try:
                found.append(self[nsid])
            except InvalidNamespace as error:  # no blocks, or detached meanwhile
                left_out(error)
        return found

    def __iter__(self) -> Iterator[int]:
        return iter(self._nsids)

    def __len__(self) -> int:
        return len(self._nsids)
