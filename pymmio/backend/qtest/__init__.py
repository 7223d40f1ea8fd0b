"""A QEMU process as the device, without a guest OS: ``qemu:DEVICE,properties?options``."""
