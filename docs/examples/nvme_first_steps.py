"""Write, read, and let commands run at the same time."""

from pymmio_drivers.nvme import Controller, LbaOutOfRange

with Controller.open("sim:nvme?size=64M") as controller:
    namespace = controller.namespaces[1]
    print(f"{namespace.block_count} blocks of {namespace.block_size} bytes")

    namespace.write_bytes(b"hello".ljust(namespace.block_size), lba=7)
    print(namespace.read_bytes(lba=7, blocks=1)[:5])

    buffer = controller.alloc(4 * 512)  # memory that the controller reaches
    pieces = [buffer[i * 512 : (i + 1) * 512] for i in range(4)]
    requests = [namespace.read_async(piece, lba=5 + i) for i, piece in enumerate(pieces)]
    for request in requests:
        request.result()
    print(bytes(memoryview(buffer[1024:1029])))

    try:
        namespace.read_bytes(lba=namespace.block_count, blocks=1)
    except LbaOutOfRange as error:
        print(error)
