"""Texts of /proc/iomem, shortened, as kernels of several machines print them."""

HOST = """\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
0009fc00-000fffff : Reserved
  000f0000-000fffff : System ROM
00100000-bfffffff : System RAM
  01000000-02209987 : Kernel code
  03b34000-03c57fff : Kernel bss
c0001000-eebfffff : PCI Bus 0000:00
eec00000-febfffff : Reserved
  eec00000-eecfffff : PCI ECAM 0000 [bus 00-00]
fec00000-fec003ff : IOAPIC 0
100000000-63fffffff : System RAM
4000000000-7fffffffff : PCI Bus 0000:00
  4000000000-400007ffff : 0000:00:01.0
    4000000000-400007ffff : virtio-pci-modern
  4000080000-40000fffff : 0000:00:02.0
"""

GUEST = """\
00000000-00000fff : Reserved
00001000-0009fbff : System RAM
000a0000-000bffff : PCI Bus 0000:00
000f0000-000fffff : Reserved
00100000-3ffdffff : System RAM
b0000000-bfffffff : PCI MMCONFIG 0000 [bus 00-ff]
  b0000000-bfffffff : Reserved
c0000000-febfffff : PCI Bus 0000:00
  fe000000-fe3fffff : PCI Bus 0000:01
    fe000000-fe003fff : 0000:01:00.0
      fe000000-fe003fff : nvme
  fe800000-fe8fffff : 0000:00:03.0
  feb80000-feb80fff : 0000:00:1f.2
    feb80000-feb80fff : ahci
fed00000-fed003ff : HPET 0
140000000-147ffffff : Persistent Memory
  140000000-147ffffff : namespace0.0
180000000-187ffffff : Persistent Memory (legacy)
200000000-23fffffff : Persistent Memory
  200000000-23fffffff : dax0.0
    200000000-23fffffff : System RAM (kmem)
"""

S390X = """\
00000000-7fffffff : System RAM
  00100000-00cd5fff : Kernel code
  00cd6000-01193fff : Kernel data
80000000-87ffffff : Persistent Memory
8001000000000000-80010000000fffff : PCI Bus 0001:00
  8001000000000000-800100000003ffff : 0001:00:00.0
"""

HIDDEN = """\
00000000-00000000 : Reserved
00000000-00000000 : System RAM
  00000000-00000000 : Kernel code
00000000-00000000 : PCI Bus 0000:00
  00000000-00000000 : 0000:00:01.0
"""
