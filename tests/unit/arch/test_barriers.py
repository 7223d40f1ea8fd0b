from __future__ import annotations

from types import SimpleNamespace

import pytest

from pymmio.arch import barriers, current


def test_each_barrier_of_the_architecture_can_be_called():
    assert sorted(barriers.__all__) == sorted(b.name for b in current().barriers)
    for name in barriers.__all__:
        assert getattr(barriers, name)() is None


@pytest.mark.parametrize("name", barriers.__all__)
def test_a_barrier_is_the_one_of_the_core_with_its_name(monkeypatch, name):
    calls = []
    fake = {f"pm_{n}": (lambda n=n: calls.append(n)) for n in barriers.__all__}
    monkeypatch.setattr(barriers, "lib", SimpleNamespace(**fake))
    getattr(barriers, name)()
    assert calls == [name]
