"""The same as before, by the names of the declaration."""

from edu_registers import Registers

import pymmio

with pymmio.open_device("sim:edu?busy_reads=3") as device:
    registers = Registers(device.region(0))
    print(registers.identification.read())
    registers.factorial.write(10)
    registers.status.wait_until(computing=0, timeout_s=1.0)
    print(int(registers.factorial.read()))
    print()
    print(registers.dump().text())
