"""Whether the kernel has a module: loaded, built in, to be loaded, or not at all."""

from __future__ import annotations

import enum

from pymmio.doctor.host import Host

__all__ = ["Presence", "presence"]


class Presence(enum.StrEnum):
    """Where a part of the kernel is."""

    LOADED = "loaded"
    BUILT_IN = "built in"
    LOADABLE = "not loaded"
    ABSENT = "not in this kernel"
    UNKNOWN = "not to be seen"

    @property
    def is_there(self) -> bool:
        """Whether it works now."""
        return self in (Presence.LOADED, Presence.BUILT_IN)


def presence(host: Host, module: str, option: str) -> Presence:
    """Tell where a module is; ``option`` is the kernel's CONFIG_ option for it.

    Evidence in this order: /sys/module, the lists in /lib/modules, the kernel's configuration.
    """
    name = module.replace("-", "_")
    if host.exists(f"/sys/module/{name}"):
        # Built-in ones are there too, if they have parameters, but without a state.
        is_module = host.exists(f"/sys/module/{name}/initstate")
        return Presence.LOADED if is_module else Presence.BUILT_IN
    folder = f"/lib/modules/{host.release()}"
    built_in = host.text_or_none(f"{folder}/modules.builtin")
    if name in _names(built_in or ""):
        return Presence.BUILT_IN
    loadable = host.text_or_none(f"{folder}/modules.dep")
    if name in _names(loadable or ""):
        return Presence.LOADABLE
    config = host.kernel_config
    if config is not None:
        if config.get(option) == "y":
            return Presence.BUILT_IN
        if option not in config:
            return Presence.ABSENT
    if built_in is not None and loadable is not None:
        return Presence.ABSENT
    return Presence.UNKNOWN


def _names(text: str) -> frozenset[str]:
    """Return the modules' names in a list of kernel/drivers/.../vfio-pci.ko.xz: ..."""
    files = (line.partition(":")[0].rpartition("/")[2] for line in text.splitlines())
    return frozenset(file.partition(".")[0].replace("-", "_") for file in files)
