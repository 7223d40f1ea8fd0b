"""Configuration space as a notebook shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymmio.errors import ProtocolError, PymmioError
from pymmio.notebook import html_note, html_table
from pymmio.pci.header import flag_names
from pymmio.pci.ids import system_names

if TYPE_CHECKING:
    from pymmio.pci.config import ConfigSpace

__all__ = ["config_html"]


def config_html(config: ConfigSpace) -> str:
    """Return header and capabilities as tables, or why they cannot be read; reads only."""
    try:
        config.check_present()
        return _header(config) + config.survey_capabilities()._repr_html_()
    except PymmioError as error:
        return html_note(f"{config!r}: {error}")


def _header(config: ConfigSpace) -> str:
    ids, names = config.ids, system_names()
    try:
        bars = [(f"BAR{bar.index}", str(bar).partition(": ")[2]) for bar in config.bars()]
    except ProtocolError as error:
        bars = [("BARs", f"not decoded: {error}")]
    rows = [
        ("name", names.describe(ids)),
        ("class", f"{ids.class_code:06x}  {names.class_name(ids.class_code)}"),
        ("vendor:device", f"{ids.vendor_id:04x}:{ids.device_id:04x}"),
        ("subsystem", f"{ids.subsystem_vendor_id:04x}:{ids.subsystem_id:04x}"),
        ("revision", f"{ids.revision_id:02x}"),
        ("command", _words(flag_names(config.command))),
        ("status", _words(flag_names(config.status))),
        *bars,
        ("space", f"{config.size} bytes"),
    ]
    return html_table("Configuration space", ("register", "says"), rows, mono=("register",))


def _words(names: list[str]) -> str:
    return ", ".join(name.lower().replace("_", " ") for name in names) or "none"
