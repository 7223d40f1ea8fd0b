"""Read with many commands at the same time, and give up on one that takes too long."""

import asyncio

from pymmio_drivers.nvme import CommandAborted, Controller

BLOCKS = 8  # of 512 bytes each


async def gather(controller: Controller) -> None:
    namespace = controller.namespaces[1]
    size = BLOCKS * namespace.block_size
    with controller.alloc(16 * size) as buffer:
        parts = [buffer[i * size : (i + 1) * size] for i in range(16)]
        done = await asyncio.gather(
            *(namespace.read_async(part, lba=i * BLOCKS) for i, part in enumerate(parts))
        )
        print(len(done), "reads,", buffer.size, "bytes")


async def give_up(controller: Controller) -> None:
    namespace = controller.namespaces[1]
    buffer = controller.alloc(namespace.block_size)
    model = controller.device.handle.model
    model.hooks.hold(lambda queue, command: queue != 0)  # it takes reads and never answers
    request = namespace.read_async(buffer, lba=0)
    try:
        async with asyncio.timeout(0.05):
            await request
    except TimeoutError:
        print("too slow; done:", request.done(), "- the device may still write to the buffer")
    controller.abort(request)
    try:
        await request
    except CommandAborted as error:
        print(error)
    buffer.close()  # now nobody uses it


async def main() -> None:
    with Controller.open("sim:nvme?size=64M") as controller:
        await gather(controller)
        await give_up(controller)


asyncio.run(main())
