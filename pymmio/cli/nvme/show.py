"""Controllers and namespaces as rows of tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pymmio.cli.output import show_facts, show_table
from pymmio.cli.sizes import duration_text, rate_text, size_text

if TYPE_CHECKING:
    from pymmio_drivers.nvme import Controller, Measurement, Namespace

__all__ = [
    "namespace_dict",
    "show_controller",
    "show_figures",
    "show_namespaces",
]

_OPTIONAL = {
    "compare": "oncs_compare",
    "write zeroes": "oncs_write_zeroes",
    "deallocate": "oncs_dataset_management",
    "verify": "oncs_verify",
    "format": "oacs_format",
    "firmware": "oacs_firmware",
}


def show_controller(controller: Controller, *, title: str) -> None:
    """Print what people ask first about a controller."""
    from pymmio.pci import system_names

    identity = controller.identity
    vendor = system_names().vendor(identity.vid)
    commands = [name for name, member in _OPTIONAL.items() if int(getattr(identity, member))]
    queues = controller.io_queues
    facts = [
        ("model", identity.mn),
        ("serial number", identity.sn),
        ("firmware", identity.fr),
        ("PCI vendor", f"{identity.vid:04x}" + (f"  {vendor}" if vendor else "")),
        ("NVMe version", controller.version),
        ("controller id", f"{identity.cntlid}"),
        ("namespaces", f"{len(controller.namespaces)} active, ids up to {identity.nn}"),
        ("longest transfer", size_text(controller.max_transfer)),
        ("queues in use", f"{len(queues)} of {queues[0].depth} entries" if queues else "none"),
        ("completions by", _COMPLETIONS.get(controller.interrupts, controller.interrupts)),
        ("write cache", "volatile" if identity.vwc_present else "none"),
        ("also knows", ", ".join(commands) or "nothing optional"),
        ("subsystem", identity.subnqn),
    ]
    show_facts([(name, value) for name, value in facts if value], title=title)


_COMPLETIONS = {"msix": "MSI-X", "msi": "MSI", "intx": "INTx"}


def show_namespaces(namespaces: list[Namespace]) -> None:
    """Print one line a namespace."""
    numbers = ("nsid", "size", "blocks", "block size")
    rows = [
        (str(one.nsid), size_text(one.size), str(one.block_count), _block(one), _identifier(one))
        for one in namespaces
    ]
    show_table((*numbers, "identifier"), rows, right=numbers, fold=("identifier",))


def _block(namespace: Namespace) -> str:
    metadata = int(namespace.format.ms)
    return size_text(namespace.block_size) + (f" + {metadata}" if metadata else "")


def namespace_dict(namespace: Namespace) -> dict[str, object]:
    """Return the facts of a namespace, ready for JSON."""
    return {
        "nsid": namespace.nsid,
        "block_size": namespace.block_size,
        "block_count": namespace.block_count,
        "size": namespace.size,
        "metadata_size": int(namespace.format.ms),
        "used_blocks": int(namespace.identity.nuse),
        "ids": {one.kind: str(one) for one in namespace.ids},
    }


def _identifier(namespace: Namespace) -> str:
    known = {one.kind: str(one) for one in namespace.ids}
    for kind in ("uuid", "nguid", "eui64"):
        if kind in known:
            return known[kind]
    return ""


def show_figures(columns: Mapping[str, Measurement], *, title: str | None = None) -> None:
    """Print measurements side by side, each under its name, which may have two lines."""
    found = list(columns.values())
    rows: list[tuple[str, Callable[[Measurement], str]]] = [
        ("IOPS", lambda one: f"{one.iops:,.0f}"),
        ("bandwidth", lambda one: rate_text(one.bandwidth_bytes_s)),
        ("latency mean", lambda one: duration_text(one.lat_us.mean)),
        ("p50", lambda one: duration_text(one.lat_us.p50)),
        ("p99", lambda one: duration_text(one.lat_us.p99)),
        ("p99.9", lambda one: duration_text(one.lat_us.p999)),
        ("longest", lambda one: duration_text(one.lat_us.max)),
        ("commands", lambda one: f"{one.commands:,}"),
        ("failed", lambda one: f"{one.errors:,}"),
    ]
    lines = [(name, *(text(one) for one in found)) for name, text in rows]
    show_table(("measured", *columns), lines, title=title, right=tuple(columns))
