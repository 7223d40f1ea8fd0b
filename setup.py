"""Only what pyproject.toml cannot say: the C extensions and the abi3 wheel tag."""

from setuptools import setup

setup(
    cffi_modules=[
        "pymmio/arch/build_core.py:ffi",
        "drivers/pymmio_drivers/nvme/build_engine.py:ffi",
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
