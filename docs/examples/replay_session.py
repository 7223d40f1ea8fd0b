"""Record a session, play it without the device, and see what a change of the driver does."""

import os
import tempfile

import pymmio
from pymmio.errors import ReplayMismatch
from pymmio.trace import RecordingSink
from pymmio_drivers.edu import Edu


def session(device: pymmio.Device, number: int) -> int:
    return Edu(device).factorial(number, by_interrupt=True)


with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)

    with pymmio.open_device("sim:edu", trace=RecordingSink("session.jsonl")) as device:
        print("recorded:", session(device, 5))

    with pymmio.open_device("sim:replay?file=session.jsonl") as device:
        print("replayed:", session(device, 5))

    try:
        with pymmio.open_device("sim:replay?file=session.jsonl") as device:
            session(device, 6)
    except ReplayMismatch as error:
        print(error.message)

    with pymmio.open_device("sim:replay?file=session.jsonl&mode=tolerant") as device:
        print("tolerant:", session(device, 6))
