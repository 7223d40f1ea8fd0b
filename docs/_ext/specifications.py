"""Every specification that the code cites: edition, use, and how a citation is recognised.

The page of specifications is made from this list; a test finds citations that are missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("pymmio", "drivers")


@dataclass(frozen=True)
class Specification:
    """``citation`` is a regular expression for text in which white space is one blank."""

    group: str
    title: str
    edition: str
    used_for: str
    citation: str


SPECIFICATIONS = (
    Specification(
        "PCI",
        "PCI-SIG, *PCI Local Bus Specification*",
        "revision 3.0",
        "header of configuration space, BARs, capability list, MSI, MSI-X, INTx",
        r"PCI Local Bus 3\.0|PCI §6",
    ),
    Specification(
        "PCI",
        "PCI-SIG, *PCI Express Base Specification*",
        "revision 5.0, version 1.0",
        "extended configuration space, PCI Express capability, extended capabilities, "
        "rules for reserved bits",
        r"(PCI Express|PCIe)( Base)? 5\.0",
    ),
    Specification(
        "PCI",
        "PCI-SIG, *PCI Express Base Specification*",
        "revision 6.0",
        "fields of the PCI Express capability that are new there",
        r"PCI Express( Base)? 6\.0",
    ),
    Specification(
        "PCI",
        "PCI-SIG, *PCI Bus Power Management Interface Specification*",
        "revision 1.2",
        "power management capability, power states and the time that they take",
        r"PCI PM 1\.2|PCI Power Management( Interface)? 1\.2",
    ),
    Specification(
        "PCI",
        "PCI-SIG, *PCI-to-PCI Bridge Architecture Specification*",
        "revision 1.2",
        "header and BARs of bridges",
        r"PCI-to-PCI Bridge Architecture 1\.2",
    ),
    Specification(
        "PCI",
        "PCI-SIG, *PCI Code and ID Assignment Specification*",
        "revision 1.11",
        "class codes, ids of capabilities",
        r"PCI Code and ID Assignment 1\.11",
    ),
    Specification(
        "PCI",
        "PCI-SIG, *PCI Firmware Specification*",
        "revision 3.0",
        "code types of expansion ROMs",
        r"PCI Firmware 3\.0",
    ),
    Specification(
        "PCI",
        "PCI-SIG, *Advanced Capabilities for Conventional PCI*, engineering change notice",
        "27 July 2006",
        "function-level reset of functions that are not PCI Express",
        r"Advanced Capabilities for Conventional PCI ECN",
    ),
    Specification(
        "NVMe",
        "NVM Express, *Base Specification*",
        "revision 2.0",
        "registers, life cycle, queues, commands, structures, status codes: the driver, and the "
        "model with ``version=2.0``",
        r"(NVMe )?Base 2\.0",
    ),
    Specification(
        "NVMe",
        "NVM Express, *NVM Command Set Specification*",
        "revision 1.0",
        "I/O commands, identify data of namespaces",
        r"NVM Command Set 1\.0",
    ),
    Specification(
        "NVMe",
        "NVM Express, *NVMe over PCIe Transport Specification*",
        "revision 1.0",
        "doorbells",
        r"PCIe Transport 1\.0|NVMe over PCIe 1\.0",
    ),
    Specification(
        "NVMe",
        "NVM Express, *NVM Express Base Specification*",
        "revision 1.4",
        "the edition that the controller model follows, unless it is told otherwise "
        "(``version=2.0``)",
        r"(NVMe |NVM Express )?Base 1\.4",
    ),
    Specification(
        "Architectures",
        "Intel, *64 and IA-32 Architectures Software Developer's Manual*",
        "edition 081, September 2023",
        "x86_64: which accesses are one access; ordering of uncached and write-combining memory",
        r"SDM\b",
    ),
    Specification(
        "Architectures",
        "AMD, *AMD64 Architecture Programmer's Manual*, volume 2, 24593",
        "revision 3.41",
        "x86_64: the same",
        r"AMD64 APM",
    ),
    Specification(
        "Architectures",
        "Arm, *Architecture Reference Manual for A-profile architecture*, DDI 0487",
        "issue J.a",
        "aarch64: single-copy atomicity, device memory, DMB and DSB, accesses that a hypervisor "
        "can emulate",
        r"DDI 0487",
    ),
    Specification(
        "Architectures",
        "RISC-V International, *The RISC-V Instruction Set Manual, volume I: Unprivileged ISA*",
        "document version 20191213",
        "riscv64: loads, stores, FENCE with I/O bits",
        r"20191213",
    ),
    Specification(
        "Architectures",
        "OpenPOWER, *Power ISA*",
        "version 3.0B",
        "ppc64le: single-copy atomicity, EIEIO, SYNC (Book II)",
        r"Power ISA 3\.0B",
    ),
    Specification(
        "Architectures",
        "OpenPOWER, *Power ISA*",
        "version 3.1",
        "ppc64le: instructions that write caches back to persistent memory (``doctor``)",
        r"Power ISA 3\.1",
    ),
    Specification(
        "Architectures",
        "IBM, *z/Architecture Principles of Operation*, SA22-7832",
        "SA22-7832-13 (fourteenth edition)",
        "s390x: order of storage accesses, serialisation",
        r"SA22-7832-13",
    ),
    Specification(
        "Architectures",
        "Intel, *Virtualization Technology for Directed I/O*",
        "revision 4.1",
        "addresses assumed where a kernel does not report the ranges of its IOMMU",
        r"VT-d 4\.1",
    ),
    Specification(
        "Architectures",
        "Intel, *Virtualization Technology for Directed I/O*",
        "revision 3.4",
        "the IOMMU of QEMU's q35 machine: tables of legacy mode, registers (``qemu:``)",
        r"VT-d 3\.4",
    ),
    Specification(
        "Systems",
        "Linux, ``vfio.h`` and ``iommufd.h`` of ``include/uapi/linux``, ``drivers/vfio/``, "
        "``Documentation/driver-api/vfio.rst``",
        "6.12",
        "the VFIO backend: numbers, structures, behaviour",
        r"Linux 6\.12, "
        r"(include/uapi/linux/(vfio|iommufd)\.h|drivers/vfio|Documentation/driver-api/vfio)",
    ),
    Specification(
        "Systems",
        "Linux, ``arch/s390/pci/pci_mmio.c``, ``arch/s390/include/asm/``; rdma-core, "
        "``util/s390_mmio_insn.h``",
        "Linux 6.15",
        "s390x: memory-I/O instructions, system calls, and what their failures mean",
        r"Linux 6\.15 arch/s390/",
    ),
    Specification(
        "Systems",
        "Linux, ``drivers/pci/pci.c``, ``lib/kobject_uevent.c``",
        "6.12",
        "what resets a function, which functions share a group, names of hot-plug events",
        r"Linux 6\.12,? (pci_reset_fn_methods|drivers/pci/|lib/kobject_uevent)",
    ),
    Specification(
        "Systems",
        "Linux, ``include/linux/ioport.h``, ``Documentation/PCI/sysfs-pci.rst``",
        "6.12",
        "resources of PCI functions in sysfs",
        r"include/linux/ioport\.h",
    ),
    Specification(
        "Systems",
        "QEMU, ``docs/specs/edu.rst`` (``edu.txt`` in older versions)",
        "as in QEMU 7.2, which the guest tests run",
        "the edu device: model and driver",
        r"QEMU,? (10\.1 )?docs/specs/edu\.rst",
    ),
    Specification(
        "Systems",
        "QEMU, ``docs/specs/ivshmem-spec.rst`` (``ivshmem-spec.txt`` in older versions)",
        "as in QEMU 7.2",
        "ivshmem: model, server, driver; how ``qemu:`` turns message interrupts into events",
        r"QEMU,? docs/specs/ivshmem-spec\.rst",
    ),
    Specification(
        "Systems",
        "OASIS, *Virtual I/O Device (VIRTIO)*",
        "version 1.2",
        "the virtio core and its queues, the models, virtio-pmem, shared-memory regions",
        r"[Vv]irtio 1\.2",
    ),
    Specification(
        "Systems",
        "Linux, ``drivers/char/mem.c``, ``kernel/resource.c``",
        "6.12",
        "ranges of physical memory: who owns them, what /dev/mem refuses",
        r"Linux 6\.12, (drivers/char/mem\.c|kernel/resource\.c)",
    ),
    Specification(
        "Systems",
        "QEMU, ``docs/interop/vfio-user.rst``",
        "protocol 0.1",
        "vfio-user: messages, client, server",
        r"QEMU,? docs/interop/vfio-user\.rst",
    ),
)

# What looks like an edition of one of them; each find must match a citation above.
EDITION = re.compile(
    r"(NVMe |NVM Express )?\bBase \d\.\d+[a-e]?|NVM Command Set \d\.\d"
    r"|(NVMe over PCIe|PCIe Transport|NVMe over PCIe Transport) \d\.\d"
    r"|PCI Express( Base)? \d\.\d|PCIe( Base)? \d\.\d|PCI Local Bus \d\.\d|PCI PM \d\.\d"
    r"|PCI-to-PCI Bridge Architecture \d\.\d|PCI Code and ID Assignment \d\.\d+"
    r"|PCI Firmware \d\.\d|Advanced Capabilities for Conventional PCI \w+"
    r"|[Vv]irtio \d\.\d|VT-d \d\.\d|Power ISA \d\.\d\w?|SA22-7832-\d+"
    r"|Linux \d\.\d+,? [\w-]+/[\w/.-]+|QEMU,? [\d.]* ?docs/[\w/.-]+"
)


def one_line(text: str) -> str:
    """Return source text with comment marks and line ends as single blanks."""
    return re.sub(r"\s*\n[\s*#/]*|\s+", " ", text)


@cache
def source_texts() -> dict[str, str]:
    """Return the text of each Python and C source by its path in the repository."""
    files = (f for top in SOURCES for f in sorted((ROOT / top).rglob("*")))
    return {
        f.relative_to(ROOT).as_posix(): one_line(f.read_text(encoding="utf-8"))
        for f in files
        if f.suffix in (".py", ".c", ".h")
        and not f.name.startswith("_core")
        and not f.name.startswith("_engine")
    }


def citing_files() -> dict[Specification, list[str]]:
    """Return the files that cite each specification."""
    return {
        spec: [name for name, text in source_texts().items() if re.search(spec.citation, text)]
        for spec in SPECIFICATIONS
    }


def shortened(files: list[str]) -> list[str]:
    """Return the files, or their folders where one folder has more than two."""
    folders: dict[str, list[str]] = {}
    for file in files:
        folders.setdefault(file.rpartition("/")[0], []).append(file)
    return [
        place
        for folder, inside in folders.items()
        for place in ([f"{folder}/ ({len(inside)} files)"] if len(inside) > 2 else inside)
    ]
