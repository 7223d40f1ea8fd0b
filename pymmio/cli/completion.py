"""``pymmio completion``: what makes a shell complete commands, options, URIs and regions."""

from __future__ import annotations

import os
import re

import click

__all__ = ["completion", "register"]

_SHELLS = ("bash", "zsh", "fish")


@click.command(
    short_help="Let a shell complete commands and URIs.",
    epilog="""\b
Examples:
  pymmio completion bash                           the script, to look at
  eval "$(pymmio completion bash)"                 in ~/.bashrc
  eval "$(pymmio completion zsh)"                  in ~/.zshrc, after compinit
  pymmio completion fish | source                  in ~/.config/fish/config.fish
""",
)
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete pymmio's commands, options, URIs and regions.

    URIs are the models that are installed, and the PCI devices of this machine. Completing
    opens no device.
    """
    from click.shell_completion import get_completion_class

    from pymmio.cli.app import COMPLETE_VARIABLE, cli
    from pymmio.cli.output import print_plain

    register()
    kind = get_completion_class(shell)
    assert kind is not None
    print_plain(kind(cli, {}, "pymmio", COMPLETE_VARIABLE).source().strip("\n"))


def register() -> None:
    """Give click a bash completion that knows about ``:`` and ``=``."""
    from click.shell_completion import (
        CompletionItem,
        ShellComplete,
        add_completion_class,
        split_arg_string,
    )

    class Bash(ShellComplete):
        """Bash splits words at colons; click's own class would complete ``sim:nv`` as ``nv``.

        The line up to the cursor is split as a shell does it, and from each answer that part
        is taken away which bash does not replace.
        """

        name = "bash"
        source_template = _BASH

        def get_completion_args(self) -> tuple[list[str], str]:
            line = os.environ["COMP_LINE"]
            words = split_arg_string(line)
            self._kept = ""
            if not words or (line[-1:].isspace() and not _ends_quoted(line)):
                return words[1:], ""
            if not _ends_quoted(line):
                breaks = re.escape("".join(set(os.environ.get("COMP_WORDBREAKS", "")) & set(":=")))
                self._kept = re.sub(f"[^{breaks}]*$", "", words[-1]) if breaks else ""
            return words[1:-1], words[-1]

        def format_completion(self, item: CompletionItem) -> str:
            return f"{item.type},{item.value.removeprefix(self._kept)}"

    add_completion_class(Bash)


def _ends_quoted(line: str) -> bool:
    """Tell whether the last word began with a quotation mark that is still open."""
    open_mark = ""
    for mark in re.findall(r"\\.|['\"]", line):
        if mark == open_mark:
            open_mark = ""
        elif not open_mark and not mark.startswith("\\"):
            open_mark = mark
    return bool(open_mark)


_BASH = """
%(complete_func)s() {
    local answer kind value
    COMPREPLY=()
    while IFS= read -r answer; do
        kind=${answer%%%%,*} value=${answer#*,}
        case $kind in
            dir) compopt -o dirnames 2>/dev/null ;;
            file) compopt -o default 2>/dev/null ;;
            *) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE=${COMP_LINE:0:COMP_POINT} COMP_WORDBREAKS=$COMP_WORDBREAKS \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""
