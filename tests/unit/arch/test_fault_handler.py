"""The handler for device faults beside faulthandler, threads, and foreign faults.

Each case is a child process of its own, because it changes signal handlers or dies.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from pymmio.arch import current

pytestmark = pytest.mark.skipif(
    not current().has_accessors, reason=f"no accessors on {current().name} yet"
)

PRELUDE = """
import faulthandler, os, resource, signal, sys, threading
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
from pymmio.arch import fault_handler_state, install_fault_handler
from pymmio.errors import AccessFault
from pymmio.mmio import MappedRegion, Mapping

def region():
    fd = os.memfd_create("test")
    os.ftruncate(fd, 4096)
    mapped = MappedRegion(Mapping.of_file(fd, 0, 4096, "BAR0", writable=True))
    os.ftruncate(fd, 0)
    os.close(fd)
    return mapped

def faults(mapped, times=1):
    for _ in range(times):
        try:
            mapped.read32(8)
        except AccessFault as error:
            assert error.cause_code == signal.SIGBUS, error
        else:
            raise SystemExit("no fault")

def foreign():
    import ctypes
    ctypes.string_at(8, 1)  # not ours
"""


def run(body: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", PRELUDE + body],
        capture_output=True,
        text=True,
        timeout=60,
    )


def passes(body: str, *options: str) -> None:
    done = run(body + "\nprint('done')", *options)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def dies_with_report(body: str, *options: str) -> None:
    """The process ends by SIGSEGV and faulthandler's traceback is there, once."""
    done = run(body, *options)
    assert done.returncode == -signal.SIGSEGV, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.count("Fatal Python error: Segmentation fault") >= 1
    assert "in foreign" in done.stderr


def dies_silently(body: str) -> None:
    done = run(body)
    assert done.returncode == -signal.SIGSEGV, (done.returncode, done.stdout, done.stderr)
    assert "Fatal Python error" not in done.stderr


def test_a_fault_is_an_exception() -> None:
    passes("m = region(); faults(m, 1000)")


def test_faulthandler_on_before() -> None:
    passes("faulthandler.enable(); m = region(); faults(m)")
    passes("m = region(); faults(m)", "-X", "faulthandler")


def test_faulthandler_on_after_is_noticed_at_the_next_open() -> None:
    passes(
        "m = region(); faulthandler.enable()\n"
        "assert fault_handler_state()['SIGBUS'] == 'other'\n"
        "n = region()\n"
        "assert set(fault_handler_state().values()) == {'pymmio'}\n"
        "faults(m); faults(n)"
    )


def test_faulthandler_switched_off_in_between() -> None:
    passes("faulthandler.enable(); m = region(); faulthandler.disable(); n = region(); faults(m)")
    passes("m = region(); faulthandler.enable(); faulthandler.disable(); faults(m)")
    passes(
        "m = region(); faulthandler.enable(); n = region(); faulthandler.disable()\n"
        "install_fault_handler(); faults(m); faults(n)"
    )


def test_faults_in_two_threads() -> None:
    passes(
        "ms = [region(), region()]\n"
        "ts = [threading.Thread(target=faults, args=(m, 2000)) for m in ms]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]"
    )


def test_faults_in_threads_that_poll_without_the_interpreter_lock() -> None:
    passes(
        "ms = [region() for _ in range(4)]; seen = []\n"
        "def poll(m):\n"
        "    try: m.wait32(0, mask=1, value=1, timeout_s=30)\n"
        "    except AccessFault: seen.append(1)\n"
        "ts = [threading.Thread(target=poll, args=(m,)) for m in ms]\n"
        "[t.start() for t in ts]; [t.join() for t in ts]\n"
        "assert len(seen) == 4, seen"
    )


def test_a_foreign_fault_reaches_faulthandler_enabled_before() -> None:
    dies_with_report("faulthandler.enable(); m = region(); faults(m); foreign()")


def test_a_foreign_fault_reaches_faulthandler_enabled_after() -> None:
    dies_with_report("m = region(); faulthandler.enable(); n = region(); faults(n); foreign()")
    dies_with_report("m = region(); faulthandler.enable(); foreign()")


def test_a_foreign_fault_after_faulthandler_was_switched_off_ends_the_process() -> None:
    dies_silently("faulthandler.enable(); m = region(); faulthandler.disable(); foreign()")
    dies_silently(
        "m = region(); faulthandler.enable(); n = region(); faulthandler.disable()\n"
        "install_fault_handler(); foreign()"
    )


def test_a_foreign_fault_without_faulthandler_ends_the_process() -> None:
    dies_silently("m = region(); faults(m); foreign()")


def test_a_signal_that_was_sent_is_not_taken_for_a_fault() -> None:
    done = run("m = region(); os.kill(os.getpid(), signal.SIGBUS)")
    assert done.returncode == -signal.SIGBUS


def test_a_python_handler_of_the_signal_still_runs() -> None:
    passes(
        "seen = []\n"
        "signal.signal(signal.SIGBUS, lambda *a: seen.append(a[0]))\n"
        "m = region(); faults(m)\n"
        "os.kill(os.getpid(), signal.SIGBUS)\n"
        "assert seen == [signal.SIGBUS], seen\n"
        "faults(m)"
    )


def test_an_ignored_signal_stays_ignored() -> None:
    passes(
        "signal.signal(signal.SIGBUS, signal.SIG_IGN); m = region()\n"
        "os.kill(os.getpid(), signal.SIGBUS); faults(m)"
    )


def test_ctrl_c_ends_a_wait_in_c() -> None:
    done = run(
        "m = MappedRegion(Mapping.of_buffer(bytearray(64), 'x'))\n"
        "threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "try: m.wait32(0, mask=1, value=1, timeout_s=50)\n"
        "except KeyboardInterrupt: print('interrupted')\n"
    )
    assert done.stdout == "interrupted\n", done.stderr
