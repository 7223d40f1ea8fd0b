"""The text that setup-user prints is correct, and hostile names do not get into it."""

from __future__ import annotations

import pwd
import re
import shutil
import subprocess

import pytest

from pymmio.backend.vfio import access_setup as module
from pymmio.backend.vfio.access_setup import access_setup, current_user
from pymmio.errors import BadArgument

RULE = re.compile(r'[A-Z]+(==|=)"[^"]*"(, [A-Z]+(==|=)"[^"]*")*')


@pytest.fixture(autouse=True)
def users(monkeypatch):
    """Two users: alice, and one whose name would be syntax elsewhere."""
    uids = {"alice": 1000, 'DOM\\eve "x"': 1001, "root": 0}

    def by_name(name):
        return pwd.struct_passwd((name, "x", uids[name], 1, "", "/", "/bin/sh"))

    def by_uid(uid):
        return by_name(next((name for name, number in uids.items() if number == uid), uid))

    monkeypatch.setattr(module.pwd, "getpwnam", by_name)
    monkeypatch.setattr(module.pwd, "getpwuid", by_uid)


def content(setup, part: str) -> str:
    (text,) = [file.content for file in setup.files if part in file.path]
    return text


def rules(setup) -> list[str]:
    lines = content(setup, "/etc/udev/rules.d/").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_rules_give_groups_devices_and_iommufd_to_the_user():
    assert rules(access_setup("alice")) == [
        'SUBSYSTEM=="vfio", KERNEL=="[0-9]*", OWNER="alice", MODE="0600"',
        'SUBSYSTEM=="vfio-dev", KERNEL=="vfio[0-9]*", OWNER="alice", MODE="0600"',
        'SUBSYSTEM=="misc", KERNEL=="iommu", OWNER="alice", MODE="0600"',
    ]


def test_rules_for_a_group():
    setup = access_setup("alice", group="vfio")
    assert all(line.endswith(', GROUP="vfio", MODE="0660"') for line in rules(setup))
    assert setup.commands[:2] == (
        "groupadd --system --force vfio",
        "usermod -a -G vfio alice",
    )


@pytest.mark.parametrize("group", [None, "vfio"])
@pytest.mark.parametrize("user", ["alice", 'DOM\\eve "x"', "4242"])
def test_rules_have_the_syntax_of_udev(user, group, tmp_path):
    setup = access_setup(user, group=group)
    for line in rules(setup):
        assert RULE.fullmatch(line), line
    path = tmp_path / "70-pymmio.rules"
    path.write_text(content(setup, "/etc/udev/rules.d/"))
    if udevadm := udevadm_that_verifies():  # udev itself has the last word where it has a say
        command = [udevadm, "verify", "--resolve-names=never", str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def udevadm_that_verifies() -> str | None:
    """Return udevadm of systemd 254 or newer, None where there is none."""
    udevadm = shutil.which("udevadm", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if udevadm is None:
        return None
    help_text = subprocess.run([udevadm, "--help"], capture_output=True, text=True).stdout
    return udevadm if "verify" in help_text else None


def test_a_name_that_would_be_syntax_goes_by_its_number():
    setup = access_setup('DOM\\eve "x"')
    assert 'OWNER="1001"' in rules(setup)[0]
    assert content(setup, "limits.d").splitlines()[-1] == ":1001 - memlock 4194304"


def test_memlock_is_in_kib_and_for_systemd_too():
    setup = access_setup("alice", memlock_bytes=8 << 30)
    assert content(setup, "limits.d").splitlines()[-1] == "alice - memlock 8388608"
    assert content(setup, "user@1000.service.d").splitlines()[-2:] == [
        "[Service]",
        "LimitMEMLOCK=8388608K",
    ]


@pytest.mark.parametrize("size", [-1, 0, 4095, 1 << 63])
def test_a_memlock_limit_that_makes_no_sense(size):
    with pytest.raises(BadArgument, match="makes no sense"):
        access_setup("alice", memlock_bytes=size)


def test_root_needs_none_of_it():
    with pytest.raises(BadArgument, match="root needs no permission"):
        access_setup("root")


@pytest.mark.parametrize("user", ["nobody-here", "", "a\0b"])
def test_a_user_that_does_not_exist(user):
    with pytest.raises(BadArgument, match="there is no user"):
        access_setup(user)


@pytest.mark.parametrize("group", ["", "a b", 'x"; RUN+="/bin/sh', "-x", "$(id)"])
def test_a_group_that_is_no_name(group):
    with pytest.raises(BadArgument, match="no name for a group"):
        access_setup("alice", group=group)


def test_the_script_writes_exactly_these_files(tmp_path):
    setup = access_setup("alice")
    script = setup.script()
    for command in setup.commands:
        assert command in script
        script = script.replace(command, ":")
    done = subprocess.run(
        ["sh", "-eu"], input=script.replace("/etc/", f"{tmp_path}/etc/"), text=True, check=False
    )
    assert done.returncode == 0
    for file in setup.files:
        written = (tmp_path / file.path[1:]).read_text()
        assert written == file.content.replace("/etc/", f"{tmp_path}/etc/")


def test_behind_sudo_it_is_about_who_called(monkeypatch):
    monkeypatch.setattr(module.os, "geteuid", lambda: 0)
    monkeypatch.setenv("SUDO_USER", "alice")
    assert current_user() == "alice"


def test_without_sudo_it_is_about_who_runs_it(monkeypatch):
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(module.os, "getuid", lambda: 1000)
    assert current_user() == "alice"
    monkeypatch.setattr(module.os, "getuid", lambda: 4242)
    assert current_user() == "4242"
