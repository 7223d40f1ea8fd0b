"""Wait for interrupts in coroutines."""

import asyncio

from pymmio import Device
from pymmio.backend.model import BarSpec, DeviceModel
from pymmio.errors import DeviceTimeout
from pymmio.handle import IrqKind
from pymmio.testing import open_model


class Buttons(DeviceModel):
    """A device with two buttons; each has an MSI-X vector."""

    vendor_id, device_id, class_code = 0x1AF4, 0x10F2, 0xFF0000
    bars = (BarSpec(index=0, size=4096),)
    msix_vectors, msix_bar = 2, 0

    def press(self, button: int) -> None:
        self.host.raise_irq(IrqKind.MSIX, button)

    def bar_read(self, bar: int, offset: int, width: int) -> int:
        return 0

    def bar_write(self, bar: int, offset: int, width: int, value: int) -> None:
        pass

    def reset(self) -> None:
        pass


async def wait(device: Device, model: Buttons) -> None:
    device.enable_bus_master()  # a message-signalled interrupt is a write of the device
    device.irqs.msix.enable(2)  # all that are needed, at once
    asyncio.get_running_loop().call_later(0.01, model.press, 0)
    print(await device.irqs.msix[0], "event")


async def count(device: Device, model: Buttons) -> None:
    for _ in range(3):
        model.press(0)  # nobody waits: the events are counted
    print(await device.irqs.msix[0], "events")


async def deadline(device: Device, model: Buttons) -> None:
    try:
        await device.irqs.msix[1].wait_async(timeout_s=0.01)
    except DeviceTimeout as error:
        print(error)


async def cancel(device: Device, model: Buttons) -> None:
    waiter = asyncio.create_task(device.irqs.msix[1].wait_async())
    await asyncio.sleep(0)  # it waits now
    waiter.cancel()
    await asyncio.wait([waiter])
    model.press(1)
    print("cancelled:", waiter.cancelled(), "- and the next event is there:", end=" ")
    print(await device.irqs.msix[1])


async def main() -> None:
    model = Buttons()
    with open_model(model) as device:
        for step in (wait, count, deadline, cancel):
            await step(device, model)


asyncio.run(main())
