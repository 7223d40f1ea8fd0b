"""Ctrl-C, at a moment that a device model survives."""

from __future__ import annotations

import signal
import threading
import types
from collections.abc import Callable, Iterator

import pytest

from pymmio.cli.interrupt import ctrl_c_spares_models


@pytest.fixture(autouse=True)
def default_handlers() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def work_in(module_name: str) -> tuple[Callable[[], None], list[str]]:
    """Return a function of a module of this name that gets a Ctrl-C while it works."""
    module = types.ModuleType(module_name)
    steps: list[str] = []
    source = "def work():\n steps.append('begun')\n raise_signal(2)\n steps.append('finished')\n"
    vars(module).update(steps=steps, raise_signal=signal.raise_signal)
    exec(source, vars(module))
    return module.work, steps


@pytest.mark.parametrize(
    "module", ["pymmio.models.nvme.io", "pymmio.backend.sim.device", "pymmio.mmio.doorbell"]
)
def test_a_model_finishes_what_it_does(module: str) -> None:
    work, steps = work_in(module)
    with pytest.raises(KeyboardInterrupt), ctrl_c_spares_models():
        work()
        signal.pause()  # the interrupt comes a moment later
    assert steps == ["begun", "finished"]


def test_everything_else_is_interrupted_at_once() -> None:
    work, steps = work_in("pymmio_drivers.nvme.queue")
    with pytest.raises(KeyboardInterrupt), ctrl_c_spares_models():
        work()
    assert steps == ["begun"]


def test_handlers_are_put_back() -> None:
    alarm = signal.getsignal(signal.SIGALRM)
    with ctrl_c_spares_models():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGALRM) is alarm
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_handler_of_somebody_else_stays() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with ctrl_c_spares_models():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_change_nothing() -> None:
    seen: list[object] = []

    def look() -> None:
        with ctrl_c_spares_models():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(10)
    assert seen == [signal.default_int_handler]
