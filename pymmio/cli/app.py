"""The command ``pymmio`` itself: its subcommands, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping, Sequence
from typing import Any

import click

from pymmio import __version__
from pymmio.cli.errors import ExitCode, report
from pymmio.cli.interrupt import ctrl_c_spares_models
from pymmio.cli.lazy import LazyGroup

__all__ = ["COMPLETE_VARIABLE", "App", "cli"]

COMPLETE_VARIABLE = "_PYMMIO_COMPLETE"


class App(LazyGroup):
    """The outermost group: every exception ends here as one line and an exit code."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command and exit, as click does; without ``standalone_mode`` return or raise."""

        def run() -> Any:
            return super(App, self).main(
                args, prog_name, complete_var, standalone_mode=False, **extra
            )

        if not standalone_mode:
            return run()
        try:
            with ctrl_c_spares_models():
                result = run()
            sys.stdout.flush()
            code = result if isinstance(result, int) else ExitCode.OK
        except BrokenPipeError:
            code = _nobody_reads()
        except (Exception, KeyboardInterrupt) as error:
            code = report(error)
            _drop_what_cannot_be_written()
        sys.exit(int(code))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; click must not see a broken pipe, it would exit with 1."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            ctx.exit(_nobody_reads())

    def _main_shell_completion(
        self, ctx_args: MutableMapping[str, Any], prog_name: str, complete_var: str | None = None
    ) -> None:
        """Answer a shell that completes a command line, and exit; else do nothing."""
        if os.environ.get(COMPLETE_VARIABLE):
            from pymmio.cli.completion import register

            register()
        super()._main_shell_completion(ctx_args, prog_name, COMPLETE_VARIABLE)


def _drop_what_cannot_be_written() -> None:
    """Flush, or drop what a full disk refused: the interpreter would fail on it once more."""
    try:
        sys.stdout.flush()
    except OSError:
        _nobody_reads()


def _nobody_reads() -> ExitCode:
    """Let what is still buffered go nowhere, so that the interpreter ends quietly."""
    try:
        stdout = sys.stdout.fileno()
    except OSError:  # no real file behind it
        return ExitCode.BROKEN_PIPE
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stdout)
    os.close(nowhere)
    return ExitCode.BROKEN_PIPE


@click.group(
    cls=App,
    lazy={
        "list": "pymmio.cli.list:list_devices",
        "doctor": "pymmio.cli.doctor:doctor",
        "config": "pymmio.cli.config:config",
        "caps": "pymmio.cli.caps:caps",
        "regs": "pymmio.cli.regs:regs",
        "dump": "pymmio.cli.dump:dump",
        "peek": "pymmio.cli.peek:peek",
        "poke": "pymmio.cli.peek:poke",
        "nvme": "pymmio.cli.nvme:nvme",
        "pmem": "pymmio.cli.pmem:pmem",
        "shm": "pymmio.cli.shm:shm",
        "ivshmem": "pymmio.cli.ivshmem:ivshmem",
        "serve": "pymmio.cli.serve:serve",
        "check": "pymmio.cli.check:check",
        "trace": "pymmio.cli.trace:trace",
        "bind": "pymmio.cli.bind:bind",
        "unbind": "pymmio.cli.bind:unbind",
        "restore": "pymmio.cli.bind:restore",
        "setup-user": "pymmio.cli.setup_user:setup_user",
        "completion": "pymmio.cli.completion:completion",
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  pymmio list                                  which PCI devices there are
  pymmio config vfio:0000:01:00.0              what one of them says about itself
  pymmio peek sim:edu bar0 0x0 --width 32      one 32-bit read of a device in this process
  pymmio nvme demo sim:nvme?size=128M          drive an NVMe controller

\b
A URI names a device and the way to reach it:
  sim:MODEL?OPTION=VALUE    a model in this process; needs no hardware and no rights
  vfio:DOMAIN:BUS:DEV.FN    real hardware, through Linux VFIO
  qemu:DEVICE,PROPERTIES    one of QEMU's device models, without a guest
  vfio-user:SOCKET          a device that another process serves (pymmio serve)
  sysfs:DOMAIN:BUS:DEV.FN   registers of real hardware, without VFIO and without DMA

Exit codes: 0 done, 1 error of the device or the system, 2 wrong usage (nothing was
touched), 3 not permitted, 4 no such device, 5 time-out, 6 busy, 130 Ctrl-C.
PYMMIO_TRACEBACK=1 in the environment shows where an error came from.
""",
)
@click.version_option(__version__, "-V", "--version", package_name="pymmio", prog_name="pymmio")
def cli() -> None:
    """Drive PCI devices from user space, with exactly the accesses that are asked for."""
