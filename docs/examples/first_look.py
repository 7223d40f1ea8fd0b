"""Open a device, read and write a register."""

import pymmio

with pymmio.open_device("sim:edu") as device:
    bar = device.region(0)
    print(f"identification {bar.read32(0x00):#010x}")
    bar.write32(0x04, 0x12345678)
    print(f"liveness check {bar.read32(0x04):#010x}")
