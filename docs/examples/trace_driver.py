"""What a driver does to its device: all of it, by name, and just before an error."""

import pymmio
from pymmio.errors import DeviceTimeout
from pymmio.trace import AccessEvent, RingSink
from pymmio_drivers.edu import REGISTERS, Edu

NAMES = {place.offset: name for name, place in REGISTERS.places.items()}


def by_name(event: AccessEvent) -> str:
    """Return a line with the register's name and fields instead of numbers."""
    name = NAMES.get(event.offset)
    if name is None or event.value is None or not event.region.endswith("BAR0"):
        return str(event)
    return f"{event.kind:5} {name} = {REGISTERS.places[name].register(event.value)}"


sink = RingSink(size=1000)
with pymmio.open_device("sim:edu?busy_reads=2", trace=sink) as device:
    edu = Edu(device)
    sink.events.clear()
    edu.factorial(5)
    for event in sink.events:
        print(event)

    print()
    for event in sink.events:
        print(by_name(event))

    print()
    device.handle.model.busy_reads = 1_000_000  # now it never gets ready
    edu.regs.factorial.write(6)
    try:
        edu.regs.status.wait_until(computing=0, timeout_s=0.01)
    except DeviceTimeout:
        for event in list(sink.events)[-2:]:
            print(event)
