"""The NVMe driver over zPCI by real vfio-pci, in each way of access."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.guest.case import case
from tests.guest.inside import NVME, bound_to_vfio
from tests.s390x import workload
from tests.s390x.place import EMULATOR_PLACE

HOW = ("msix", "polling")
PROJECT = Path(__file__).resolve().parents[3]
MIO_TIMEOUT_S = 200
LOAD, STORE = "PCILGI", "PCISTGI"  # as tests/arch/mio/report.c names them


@case(
    guest="s390x",
    timeout_s=180,
    params=tuple(f"{a}-{h}" for a in ("syscall", "pread") for h in HOW),
)
def case_nvme_keeps_4_mib(mode: str) -> None:
    access, how = mode.split("-")
    with bound_to_vfio(NVME) as function:
        workload.keep_4_mib(function.address, access, how)


@case(guest="s390x", timeout_s=240, params=HOW)
def case_nvme_keeps_4_mib_by_memory_io_instructions(how: str) -> None:
    # The machine has none: a preloaded handler executes each by a system call, and counts.
    report = Path(f"/tmp/mio-{how}.json")
    environment = dict(
        os.environ,
        LD_PRELOAD=str(PROJECT / EMULATOR_PLACE),
        MIO_BY="kernel",
        MIO_REPORT=str(report),
    )
    with bound_to_vfio(NVME) as function:
        subprocess.run(
            [sys.executable, "-m", "tests.s390x.workload", function.address, "mio", how],
            env=environment,
            check=True,
            timeout=MIO_TIMEOUT_S,
        )
    executed = [json.loads(line) for line in report.read_text().splitlines()][-1]
    print(executed)
    # Doorbells: at least the commands that move 4 MiB, each once for itself, once for its result.
    assert executed[STORE]["4"] >= 2 * (2 * workload.SIZE // workload.MIB), executed
    assert executed[LOAD]["4"] >= 2, executed  # CSTS, before and after it is enabled
    assert executed["352"] == executed["353"] == {}, executed
