"""The backend ``qemu:`` with a real QEMU on this machine, without a guest."""
