"""Let the device compute, and wait for it."""

import pymmio

NUMBER = 10

with pymmio.open_device("sim:edu?busy_reads=3") as device:
    bar = device.region(0)
    bar.write32(0x08, NUMBER)
    bar.wait32(0x20, mask=0x01, value=0x00, timeout_s=1.0)
    print(f"{NUMBER}! = {bar.read32(0x08)}")
