"""A user without root drives a device, after what `pymmio setup-user` prints was applied."""

from __future__ import annotations

import fnmatch
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

from pymmio.backend.vfio.access_setup import AccessSetup, access_setup
from pymmio.backend.vfio.bind import bind, restore
from tests.guest.case import case
from tests.guest.inside import NVME, find_function

USER = 65534


@case(timeout_s=120, seconds=11, params=("group", "cdev"))
def case_a_user_without_root_runs_the_nvme_demo(interface: str) -> None:
    setup = access_setup(str(USER), memlock_bytes=256 << 20)
    nvme = find_function(NVME)
    bind(nvme.address)
    nodes = _apply_rules(setup)
    try:
        assert f"/dev/vfio/{nvme.iommu_group}" in nodes
        assert "/dev/iommu" in nodes
        _demo(setup, f"vfio:{nvme.address}?interface={interface}")
        os.chown(f"/dev/vfio/{nvme.iommu_group}", 0, 0)
        os.chown("/dev/iommu", 0, 0)
        _demo(setup, f"vfio:{nvme.address}?interface={interface}", refused="may not be opened by")
    finally:
        for node in nodes:
            os.chown(node, 0, 0)
        restore(nvme.address)


def _demo(setup: AccessSetup, uri: str, refused: str = "") -> None:
    """Run the demo as the user; with ``refused`` it ends with 3 and says that."""
    limits = next(file.content for file in setup.files if "limits.d" in file.path)
    memlock = int(limits.split()[-1]) * 1024
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (memlock, memlock))
    command = ["nvme", "demo", uri, "--write", "--range", "0:16K"]
    # The interpreter may stand below /root: so the user may read everything. Devices are opened
    # for writing too, which this capability does not cover.
    reads = "dac_read_search"
    caps = [f"--inh-caps=-all,+{reads}", f"--ambient-caps=-all,+{reads}"]
    user = [f"--reuid={USER}", f"--regid={USER}", "--clear-groups", *caps]
    done = subprocess.run(
        ["setpriv", *user, "--", sys.executable, "-m", "pymmio.cli", *command],
        capture_output=True,
        text=True,
        timeout=80,
    )
    assert done.returncode == (3 if refused else 0), done.stdout + done.stderr
    assert refused in done.stderr


def _apply_rules(setup: AccessSetup) -> list[str]:
    """Do what udev would: match subsystem and name of each device, set owner and mode."""
    text = next(file.content for file in setup.files if file.path.endswith(".rules"))
    nodes = []
    for line in text.splitlines():
        if line.startswith("#") or not line:
            continue
        keys = dict(re.findall(r'(\w+)==?"([^"]*)"', line))
        for uevent in Path("/sys/class", keys["SUBSYSTEM"]).glob("*/uevent"):
            if not fnmatch.fnmatchcase(uevent.parent.name, keys["KERNEL"]):
                continue
            name = re.search(r"^DEVNAME=(.+)$", uevent.read_text(), re.M)
            assert name is not None
            node = f"/dev/{name[1]}"
            owner = keys["OWNER"]
            assert owner in ("nobody", str(USER))
            os.chown(node, USER, -1)
            os.chmod(node, int(keys["MODE"], 8))
            nodes.append(node)
    return nodes
