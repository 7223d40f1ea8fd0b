"""Only what pyproject.toml cannot say: the C extensions and the abi3 wheel tag."""

from pathlib import Path

from setuptools import setup

setup(
    cffi_modules=[
        f"{builder}:ffi"
        for builder in (
            "pymmio/arch/build_core.py",
            "pymmio/check/accessors/build_recorder.py",
            "pymmio/virtio/queue/build_engine.py",
            "drivers/pymmio_drivers/nvme/build_engine.py",
        )
        if Path(builder).exists()
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
