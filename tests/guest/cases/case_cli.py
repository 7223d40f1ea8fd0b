"""The command line on real vfio-pci: as root, and as a user who owns the group's node."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.guest.case import case
from tests.guest.inside import EDU, NVME, bound_to_vfio, find_function

USER = 65534
MEMLOCK = 256 << 20
# The interpreter may stand below /root: so the user may read everything, which does not cover
# opening devices, for they are opened for writing too.
_READS = "dac_read_search"
_AS_USER = (
    "setpriv",
    *(f"--reuid={USER}", f"--regid={USER}", "--clear-groups"),
    *(f"--inh-caps=-all,+{_READS}", f"--ambient-caps=-all,+{_READS}", "--"),
)

COMMAND = (sys.executable, "-m", "pymmio.cli")


def run(*arguments: str, user: bool = False) -> subprocess.CompletedProcess[str]:
    """Run pymmio, as root or as a user without rights."""
    return subprocess.run(
        [*(_AS_USER if user else ()), *COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=_limit if user else None,
    )


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (MEMLOCK, MEMLOCK))


def output(*arguments: str, user: bool = False) -> str:
    """Run a command that must succeed without a word on standard error."""
    done = run(*arguments, user=user)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def json_of(*arguments: str, user: bool = False) -> Any:
    return json.loads(output(*arguments, "--json", user=user))


def fails(code: int, *words: str, of: subprocess.CompletedProcess[str]) -> None:
    """Check exit code and one line on standard error."""
    assert (of.returncode, of.stdout) == (code, ""), of
    assert of.stderr.count("\n") == 1, of.stderr
    assert of.stderr.startswith("pymmio"), of.stderr
    for word in words:
        assert word in of.stderr, (word, of.stderr)


class owned_by_user:
    """Give a group's node to the user for the block."""

    def __init__(self, group: int | None) -> None:
        self.node = Path(f"/dev/vfio/{group}")

    def __enter__(self) -> None:
        os.chown(self.node, USER, -1)
        os.chmod("/dev/vfio/vfio", 0o666)  # as udev has it

    def __exit__(self, *details: object) -> None:
        os.chown(self.node, 0, 0)


@case(timeout_s=180, seconds=24)
def case_the_demo_reads_as_root_and_writes_where_it_is_told() -> None:
    with bound_to_vfio(NVME) as nvme:
        uri = f"vfio:{nvme.address}"
        before = json_of("nvme", "read", uri, "--lba", "0", "--blocks", "8")["data"]
        report = json_of("nvme", "demo", uri, "--range", "0:16K")
        assert (report["verified"], report["uri"]) == (False, uri)
        assert json_of("nvme", "read", uri, "--lba", "0", "--blocks", "8")["data"] == before
        report = json_of("nvme", "demo", uri, "--write", "--range", "4K:16K")
        assert report["verified"] is True
        assert all(one["errors"] == 0 for one in report["measured"])
        assert json_of("nvme", "read", uri, "--lba", "0", "--blocks", "8")["data"] == before


@case(timeout_s=180, seconds=13)
def case_a_user_who_owns_the_group_runs_the_demo() -> None:
    with bound_to_vfio(NVME) as nvme, owned_by_user(nvme.iommu_group):
        uri = f"vfio:{nvme.address}"
        text = output("nvme", "demo", uri, "--range", "0:16K", user=True)
        assert "nothing was written" in text
        text = output("nvme", "demo", uri, "--write", "--range", "0:16K", user=True)
        assert "verified: every byte" in text
        assert "controller shut down, device given back" in text


@case(timeout_s=120, seconds=4)
def case_a_user_without_the_group_is_told_what_to_do() -> None:
    with bound_to_vfio(NVME) as nvme:
        refused = run("nvme", "demo", f"vfio:{nvme.address}", user=True)
        fails(3, "/dev/vfio/", "may not be opened by", of=refused)


@case(timeout_s=120, seconds=13)
def case_devices_show_themselves() -> None:
    with bound_to_vfio(NVME) as nvme:
        uri = f"vfio:{nvme.address}"
        row = next(line for line in output("list").splitlines() if nvme.address in line)
        assert "vfio-pci" in row
        assert row.split()[-1] == str(nvme.iommu_group)
        found = next(one for one in json_of("list") if one["address"] == nvme.address)
        assert (found["driver"], found["class_code"]) == ("vfio-pci", 0x010802)
        config = json_of("config", uri)
        assert (config["vendor_id"], config["device_id"]) == NVME
        assert "memory" in output("config", uri)
        caps = output("caps", uri)
        assert re.search(r"MSI-X .*vectors: \d+", caps)
        assert re.search(r"PCI Express .*max payload: \d+ bytes", caps)


@case(timeout_s=180, seconds=40)
def case_the_controller_is_managed() -> None:
    with bound_to_vfio(NVME) as nvme:
        uri = f"vfio:{nvme.address}"
        assert 0 < json_of("nvme", "smart", uri)["temperature_c"] < 100  # QEMU: 323 K
        features = json_of("nvme", "features", uri)["features"]
        assert any(one["name"] == "volatile write cache" for one in features)
        assert json_of("nvme", "features", uri, "--set", "6=0", "--yes")["value"] == 0
        assert "running" in output("nvme", "log", uri, "firmware")
        assert "identify" in output("nvme", "log", uri, "commands")
        assert json_of("nvme", "log", uri, "2", "--size", "16")["bytes"] == 16
        assert json_of("nvme", "abort", uri, "1", "1")["aborted"] is False
        assert json_of("nvme", "reset", uri, "--yes")["reset_ms"] > 0
        assert json_of("nvme", "reset", uri, "--yes", "--function")["start_ms"] > 0
        fails(2, "nothing was touched", "--yes", of=run("nvme", "reset", uri))


@case(timeout_s=180, seconds=27)
def case_a_format_changes_the_block_size_and_back() -> None:
    with bound_to_vfio(NVME) as nvme:
        uri = f"vfio:{nvme.address}"
        fails(2, "nothing was touched", "--yes", of=run("nvme", "format", uri))
        formats = json_of("nvme", "format", uri, "--list")["formats"]
        before = next(one["index"] for one in formats if one["is_in_use"])
        try:
            done = json_of("nvme", "format", uri, "--block-size", "4K", "--yes")
            assert done["format"]["block_size"] == 4096
            assert json_of("nvme", "list", uri)["namespaces"][0]["block_size"] == 4096
        finally:
            output("nvme", "format", uri, "--lbaf", str(before), "--yes")
        assert json_of("nvme", "list", uri)["namespaces"][0]["block_size"] == 512


@case(timeout_s=120, seconds=9)
def case_registers_are_watched() -> None:
    with bound_to_vfio(EDU) as edu:
        uri = f"vfio:{edu.address}"
        assert "identification" in output("regs", uri)
        done = run("regs", uri, "--watch", "--interval", "0.05", "--count", "3")
        assert (done.returncode, done.stderr) == (0, "")


@case(timeout_s=120, seconds=20)
def case_errors_are_one_line_with_their_code() -> None:
    edu = find_function(EDU)
    fails(4, "0000:77:00.0", of=run("config", "vfio:0000:77:00.0"))
    fails(2, "URI", of=run("config", "toaster"))
    fails(1, "bound to", "vfio-pci", of=run("config", f"vfio:{edu.address}"))
    with bound_to_vfio(EDU) as edu:
        uri = f"vfio:{edu.address}"
        fails(2, "does not lie inside", of=run("peek", uri, "bar0", "16M", "--width", "32"))
        fails(2, "--write", of=run("poke", uri, "bar0", "4", "1", "--width", "32"))
        assert output("peek", uri, "bar0", "0", "--width", "32") == "0x010000ed\n"
