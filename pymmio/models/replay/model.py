"""The model ``sim:replay``: its options, and the recording that it opens."""

from __future__ import annotations

from pymmio.backend.model import DeviceModel, ModelHost
from pymmio.errors import TraceFileError, Unsupported, UriError
from pymmio.models.options import refuse_unknown
from pymmio.models.replay.handle import ReplayHandle
from pymmio.models.replay.script import Script
from pymmio.models.replay.strict import StrictPlayer
from pymmio.models.replay.tolerant import TolerantPlayer
from pymmio.trace.reading import read

__all__ = ["ReplayModel"]

_PLAYERS = {"strict": StrictPlayer, "tolerant": TolerantPlayer}


class ReplayModel(DeviceModel):
    """A recording, ``file``, to be played in ``mode`` "strict" (unless said) or "tolerant".

    It has the regions, configuration space and interrupts of the device that was recorded.  It
    needs to know what the driver maps, so it brings its own handle and is served by ``sim:``
    only.
    """

    def __init__(self, *, file: str = "", mode: str = "strict", **unknown: str) -> None:
        refuse_unknown("replay", unknown, ("file", "mode"))
        if not file:
            raise UriError(
                "sim:replay needs a recording", hint="Write sim:replay?file=session.jsonl"
            )
        if mode not in _PLAYERS:
            raise UriError(f"option mode={mode!r} is unknown", hint="Use strict or tolerant")
        try:
            with open(file, "rb") as recording:
                self.script = Script.of(read(recording, file), file)
        except OSError as error:
            raise UriError(
                f"the recording {file} cannot be read: {error.strerror}",
                hint="Give the path of a file that RecordingSink wrote",
            ) from error
        self.mode = mode
        ids = self.script.device.ids
        try:
            self.vendor_id, self.device_id = ids["vendor_id"], ids["device_id"]
            self.class_code = ids["class_code"]
        except KeyError as missing:
            raise TraceFileError(f"{file}: the header has no {missing}", line=1) from None

    def open_handle(self, name: str) -> ReplayHandle:
        """Return the device to be driven."""
        return ReplayHandle(_PLAYERS[self.mode](self.script), name)

    def attach(self, host: ModelHost) -> None:
        raise Unsupported(
            "a recording cannot be served: it has to know what its driver maps",
            hint=f"Open sim:replay?file={self.script.name} in the process of the driver",
        )

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        raise NotImplementedError

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        raise NotImplementedError

    def reset(self) -> None:
        raise NotImplementedError
