"""Run test cases against real vfio-pci inside an emulated machine (see README.md)."""
