"""Options of the NVMe model: the query part of ``sim:nvme?…``."""

from __future__ import annotations

from dataclasses import dataclass

from pymmio.errors import UriError
from pymmio.models.options import as_bool, as_int, as_size, refuse_unknown

__all__ = ["NvmeOptions"]

_VERSIONS = {"1.4": 0x0001_0400, "2.0": 0x0002_0000}


@dataclass(frozen=True, slots=True)
class NvmeOptions:
    """What a controller is made with.  Names follow QEMU's nvme device where it has one."""

    size: int | None = None  #: bytes of each namespace
    file: str | None = None  #: keep the blocks in this file
    ns: int = 1  #: namespaces; a file is cut into as many equal parts
    nn: int = 256  #: largest namespace identifier that is valid (Identify Controller NN)
    block_size: int = 512  #: 512 or 4096
    serial: str = "PYMMIO0001"
    version: str = "1.4"  #: 1.4 or 2.0
    mdts: int = 7  #: maximum transfer 2**mdts * 4 KiB; 0 is no limit
    mqes: int = 2047  #: CAP.MQES: queue entries minus 1
    max_ioqpairs: int = 64
    msix_qsize: int = 65  #: MSI-X vectors
    msi: int = 1  #: MSI vectors: 0 for none, or 1, 2, 4, 8, 16, 32
    dstrd: int = 0  #: doorbell stride 4 << dstrd
    mpsmax: int = 4  #: largest memory page 4 KiB << mpsmax
    to: int = 15  #: CAP.TO in units of 500 ms
    aerl: int = 3  #: asynchronous event requests minus 1
    nssr: bool = False  #: NVM subsystem reset is supported
    ready_reads: int = 0  #: so many reads of CSTS before RDY follows CC.EN

    @property
    def vs(self) -> int:
        """Return the version as the register VS has it."""
        return _VERSIONS[self.version]

    @property
    def is_2_0(self) -> bool:
        return self.vs >= 0x0002_0000

    @classmethod
    def parse(cls, given: dict[str, str | int]) -> NvmeOptions:
        """Check options; raises UriError that names the option and what it may be."""
        refuse_unknown("nvme", given, tuple(cls.__dataclass_fields__))
        numbers = {
            "ns": (1, 1024),
            "nn": (1, 1024),
            "mdts": (0, 16),
            "mqes": (1, 0xFFFF),
            "max_ioqpairs": (1, 0xFFFE),
            "msix_qsize": (1, 2048),
            "msi": (0, 32),
            "dstrd": (0, 15),
            "mpsmax": (0, 15),
            "to": (1, 255),
            "aerl": (0, 255),
            "ready_reads": (0, 1_000_000),
        }
        values: dict[str, object] = {
            name: as_int(name, given[name], low=low, high=high)
            for name, (low, high) in numbers.items()
            if name in given
        }
        if "size" in given:
            values["size"] = as_size("size", given["size"])
        if "block_size" in given:
            values["block_size"] = as_size("block_size", given["block_size"])
        if "nssr" in given:
            values["nssr"] = as_bool("nssr", given["nssr"])
        for name in ("file", "serial", "version"):
            if name in given:
                values[name] = str(given[name])
        options = cls(**values)  # type: ignore[arg-type]
        options._check()
        return options

    def _check(self) -> None:
        if self.version not in _VERSIONS:
            raise UriError(
                f"option version={self.version!r} is not known", hint="Choose 1.4 or 2.0"
            )
        if self.block_size not in (512, 4096):
            raise UriError(
                f"option block_size={self.block_size} is not offered", hint="Choose 512 or 4096"
            )
        if self.size is not None and self.size % self.block_size:
            raise UriError(
                f"option size={self.size} is no multiple of the block size {self.block_size}",
                hint="Choose a size that holds whole blocks",
            )
        if self.msi & (self.msi - 1):
            raise UriError(
                f"option msi={self.msi} is no power of two", hint="Choose 0, 1, 2, 4, 8, 16 or 32"
            )
        if self.ns > self.nn:
            raise UriError(
                f"option ns={self.ns} is larger than nn={self.nn}", hint="Raise nn, or lower ns"
            )
        if not self.serial.isascii() or not 1 <= len(self.serial) <= 20:
            raise UriError(
                f"option serial={self.serial!r} does not fit",
                hint="Choose 1 to 20 ASCII characters",
            )
