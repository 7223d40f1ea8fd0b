"""What the NVMe driver says when the caller, the command or the controller is at fault."""

from collections.abc import Callable

from pymmio import open_device
from pymmio.errors import PymmioError
from pymmio_drivers.nvme import Controller


def says(action: Callable[[], object]) -> None:
    """Print the exception that ``action`` raises."""
    try:
        action()
    except PymmioError as error:
        print(f"{type(error).__name__}: {error}")
    else:
        raise AssertionError("nothing was raised")


def caller(controller: Controller) -> None:
    namespace = controller.namespaces[1]
    with controller.device.dma.alloc(8192, align=1 << 28) as buffer:
        says(lambda: namespace.read(bytearray(512), lba=0))
        says(lambda: namespace.read(buffer[:512], lba=0, blocks=2))
        says(lambda: namespace.read(buffer[2:514], lba=0))
    says(lambda: namespace.read_into(bytes(512), lba=0))
    says(lambda: namespace.read_bytes(lba=namespace.block_count, blocks=1))
    says(lambda: controller.namespaces[7])


def command(controller: Controller) -> None:
    namespace = controller.namespaces[1]
    says(lambda: controller.admin(0x7F))
    says(lambda: controller.admin(0x06, cdw10=0xFF, receive=4096))
    says(lambda: controller.admin(0x06, nsid=0x1000, receive=4096))
    says(lambda: controller.admin(0x00, cdw10=99))
    with controller.alloc(512) as buffer:
        memoryview(buffer)[:] = bytes([1]) * 512
        says(lambda: namespace.compare(buffer, lba=0))
    hooks = controller.device.handle.model.hooks
    for status in (0x281, 0x302, 0x7C0):  # what this model has no other way to say
        hooks.fail(status)
        says(namespace.flush)


def aborted(controller: Controller) -> None:
    hooks = controller.device.handle.model.hooks
    hooks.hold(lambda queue, _: queue != 0)  # commands are taken and never answered
    request = controller.namespaces[1].flush_async()
    controller.abort(request)
    says(request.result)


def stuck(controller: Controller) -> None:
    namespace = controller.namespaces[1]
    hooks = controller.device.handle.model.hooks
    hooks.hold()  # nothing is answered, not even an abort,
    hooks.stuck = True  # and it does not come back from a reset
    says(lambda: namespace.read_bytes(lba=0, blocks=1))
    says(namespace.flush)
    controller.close()
    says(namespace.flush)


def pulled_out(controller: Controller) -> None:
    namespace = controller.namespaces[1]
    controller.device.handle.slot.unplug()
    says(namespace.flush)
    says(namespace.flush)


def start() -> None:
    with open_device("sim:nvme?size=1M&ready_reads=3") as device:
        model = device.handle.model
        write = model.bar_write

        def breaks(bar: int, offset: int, width: int, value: int) -> None:
            write(bar, offset, width, value)
            if offset == 0x14 and value & 1:  # CC.EN
                model.hooks.break_controller()

        model.bar_write = breaks
        says(lambda: Controller.open(device))


if __name__ == "__main__":
    for step in (caller, command, aborted, pulled_out):
        with Controller.open("sim:nvme?size=1M") as controller:
            step(controller)
    impatient = {"timeout_s": 0.1, "abort_grace_s": 0.2, "ready_timeout_s": 0.3}
    with Controller.open("sim:nvme?size=1M", **impatient) as controller:
        stuck(controller)
    start()
