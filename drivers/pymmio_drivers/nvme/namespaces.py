"""The namespaces of a controller, by id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

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
                raise KeyError(nsid)
            identity = self._controller.admin.identify_namespace(nsid)
            self._known[nsid] = Namespace(self._controller, nsid, identity)
        return self._known[nsid]

    def __iter__(self) -> Iterator[int]:
        return iter(self._nsids)

    def __len__(self) -> int:
        return len(self._nsids)
