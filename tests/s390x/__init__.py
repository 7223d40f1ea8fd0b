"""An s390x system without the machine: Debian's packages, unpacked and emulated."""
