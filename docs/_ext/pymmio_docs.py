"""Directives that make tables from the code, so that pages cannot disagree with it."""

from __future__ import annotations

import builtins
import importlib
import pkgutil
import re
from collections.abc import Iterable
from typing import Any, ClassVar

import specifications
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

import pymmio.arch
from pymmio import errors
from pymmio.arch.base import Arch
from pymmio.check.rules import presets

Cell = str | list[str] | None


def architectures() -> list[Arch]:
    """Return the facts of all architectures, in alphabetical order."""
    packages = (m.name for m in pkgutil.iter_modules(pymmio.arch.__path__) if m.ispkg)
    return [importlib.import_module(f"pymmio.arch.{name}").ARCH for name in sorted(packages)]


class Table(SphinxDirective):
    """A table with a heading row.

    A cell is text, a list of literal texts, or None where the cell above reaches down.
    """

    has_content = False
    option_spec: ClassVar = {"widths": directives.positive_int_list}

    def rows(self) -> Iterable[tuple[Cell, ...]]:
        """Return the rows, the heading first."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Build the table."""
        self.env.note_reread()  # the code may have changed since, the page has not
        heading, *body = self.rows()
        table = nodes.table(classes=["colwidths-given"] if "widths" in self.options else [])
        group = nodes.tgroup(cols=len(heading))
        table += group
        for width in self.options.get("widths", [1] * len(heading)):
            group += nodes.colspec(colwidth=width)
        head, rest = nodes.thead(), nodes.tbody()
        group += [head, rest]
        head += self._row(heading)
        rest += [self._row(row) for row in body]
        for column in range(len(heading)):
            self._span(rest, body, column)
        for row in rest.findall(nodes.row):
            for entry in [e for e in row if e.get("covered")]:
                row.remove(entry)
        return [table]

    @staticmethod
    def _span(rest: nodes.tbody, body: list[tuple[Cell, ...]], column: int) -> None:
        top: nodes.Element | None = None
        for row, cells in zip(rest, body, strict=True):
            if cells[column] is not None:
                top = row[column]
            elif top is not None:
                row[column]["covered"] = True
                top["morerows"] = top.get("morerows", 0) + 1

    def _row(self, cells: tuple[Cell, ...]) -> nodes.row:
        row = nodes.row()
        for cell in cells:
            entry = nodes.entry()
            if cell is None:
                pass
            elif isinstance(cell, str):
                parsed, messages = self.state.inline_text(cell, self.lineno)
                entry += nodes.paragraph(cell, "", *parsed, *messages)
            else:
                lines = nodes.line_block()
                for text in cell:
                    breakable = text.replace("/", "/\N{ZERO WIDTH SPACE}")
                    lines += nodes.line("", "", nodes.literal(text, breakable))
                entry += lines
            row += entry
        return row


class Architectures(Table):
    """``.. pymmio-architectures::``: how each architecture reaches device memory."""

    def rows(self) -> Iterable[tuple[Cell, ...]]:
        yield "architecture", "byte order", "MMIO", "accessors", "one access"
        for arch in architectures():
            there = "yes" if arch.has_accessors else "not yet"
            yield arch.name, arch.byteorder, arch.mmio, there, arch.access


class Barriers(Table):
    """``.. pymmio-barriers::``: each barrier on each architecture, with its source."""

    def rows(self) -> Iterable[tuple[Cell, ...]]:
        yield "barrier", "orders", "architecture", "instruction", "source"
        by_name: dict[str, list[tuple[str, Any]]] = {}
        for arch in architectures():
            for barrier in arch.barriers:
                by_name.setdefault(barrier.name, []).append((arch.name, barrier))
        for name, uses in by_name.items():
            for place, (arch_name, barrier) in enumerate(uses):
                first = place == 0
                yield (
                    [name] if first else None,
                    barrier.orders if first else None,
                    arch_name,
                    barrier.instruction,
                    barrier.source,
                )


def exceptions(
    kind: type[BaseException] = errors.PymmioError, depth: int = 0
) -> Iterable[tuple[int, type[BaseException]]]:
    """Return the tree of exceptions from its root: depth and class."""
    yield depth, kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from exceptions(child, depth + 1)


class Exceptions(Table):
    """``.. pymmio-exceptions::``: the tree of exceptions, each with its Python base."""

    def rows(self) -> Iterable[tuple[Cell, ...]]:
        yield "exception", "is also", "meaning"
        for depth, kind in exceptions():
            bases = [b.__name__ for b in kind.__mro__ if b.__module__ == "builtins"]
            also = [bases[0]] if bases[0] != "Exception" else ""
            meaning = (kind.__doc__ or "").partition("\n")[0]
            indent = "\N{NO-BREAK SPACE}" * 3 * depth
            yield f"{indent}:class:`~pymmio.errors.{kind.__name__}`", also, meaning


class Specifications(Table):
    """``.. pymmio-specifications:: GROUP``: editions, uses, and the files that cite them."""

    required_arguments = 1
    final_argument_whitespace = True

    def rows(self) -> Iterable[tuple[Cell, ...]]:
        yield "specification", "used for", "cited in"
        citing = specifications.citing_files()
        for spec in specifications.SPECIFICATIONS:
            if spec.group == self.arguments[0]:
                places = specifications.shortened(citing[spec])
                yield f"{spec.title}, **{spec.edition}**", spec.used_for, places


class RuleSources(Table):
    """``.. pymmio-rule-sources::``: where each preset of access rules comes from."""

    def rows(self) -> Iterable[tuple[Cell, ...]]:
        yield "rule", "source", "what it says", "a subject that must fail"
        for one in presets():
            for place, source in enumerate(one.sources):
                first = place == 0
                yield (
                    [one.name] if first else None,
                    _plain(source.where),
                    _plain(source.says),
                    [one.must_fail] if first else None,
                )


def _plain(text: str) -> str:
    """Return text in which nothing is markup."""
    return re.sub(r"([\\*`_|])", r"\\\1", text)


def resolve_alias(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.Element | None:
    """Find what is documented under another of its names, such as that of its module.

    A type in a signature that has no page stays plain text; a role must lead somewhere.
    """
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py" or not target.startswith("pymmio"):
        return None
    wanted = found(target)
    documented = env.domains.python_domain.objects
    for name, entry in documented.items():
        same = name.rpartition(".")[2] == target.rpartition(".")[2]
        if same and wanted is not None and found(name) is wanted:
            document = node.get("refdoc", env.docname)
            return make_refnode(app.builder, document, entry.docname, entry.node_id, contnode, name)
    return None if "refwarn" in node else contnode


def shorten_signature(
    app: Sphinx, what: str, name: str, thing: object, options: object, signature: str, result: str
) -> tuple[str, None] | None:
    """Leave out arguments that an exception inherits, and those of constructors for insiders."""
    is_inherited = what == "exception" and "__init__" not in vars(thing)
    about = getattr(getattr(thing, "__init__", None), "__doc__", None) or ""
    is_inside = what == "class" and about.startswith("Not for callers")
    return ("", None) if is_inherited or is_inside else None


def unlink_builtins(app: Sphinx, tree: nodes.document) -> None:
    """Keep ``type`` and its like from linking to an attribute that has the same name."""
    for node in list(tree.findall(pending_xref)):
        if node.get("refdomain") == "py" and hasattr(builtins, node.get("reftarget", "")):
            node.replace_self(node.children)


def found(name: str) -> object | None:
    """Return the object of pymmio with this dotted name, or None."""
    try:
        return pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError):
        return None


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("pymmio-architectures", Architectures)
    app.add_directive("pymmio-barriers", Barriers)
    app.add_directive("pymmio-exceptions", Exceptions)
    app.add_directive("pymmio-rule-sources", RuleSources)
    app.add_directive("pymmio-specifications", Specifications)
    app.connect("autodoc-process-signature", shorten_signature)
    app.connect("doctree-read", unlink_builtins)
    app.connect("missing-reference", resolve_alias)
    return {"parallel_read_safe": True, "version": "1"}
