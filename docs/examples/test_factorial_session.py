"""What happened in the field, as a test: no device, no model."""

import pathlib

import pymmio
from pymmio_drivers.edu import Edu

SESSION = pathlib.Path(__file__).with_name("factorial_session.jsonl")


def test_the_factorial_of_that_day() -> None:
    with pymmio.open_device(f"sim:replay?file={SESSION}") as device:
        assert Edu(device).factorial(5, by_interrupt=True) == 120
