"""Raw outputs of models with tool calls, read out of the parser tests in vLLM's sdist or another archive of sources.

The tests are parsed, never run: every string expression of constants and module-level names is put together, and kept
where it looks like a call that a model wrote. PyPI has the sdist: `pip download --no-deps --no-binary vllm vllm`
needs its build requirements; the file itself is enough here.
"""

from __future__ import annotations

import ast
import re
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.detector_sets.rows import Item, answer_line

_TESTS = re.compile(r"(?:^|/)tests/(?:[^/]+/)*(?:tool_parsers|tool_use|parser)/(?:[^/]+/)*test_(\w+)\.py$")
_LEAST = 24
# A call as a model writes it; the first group that took part is the name of the tool.
_CALL = re.compile(
    r"""["']name["']\s*:\s*["']([\w.-]+)["'](?=[\s\S]*["'](?:arguments|parameters|args)["']\s*:)"""
    r"""|<(?:function|invoke|tool_call)(?:=|\s+name=)["']?([\w.-]+)|<[\w:]*tool_call>\s*([\w.-]+)"""
    r"""|\[TOOL_CALLS\]([\w.-]+)|tool▁call▁begin[^>]*>(?:function<[^>]*>)?([\w.-]+)|functions\.([\w.-]+):\d"""
    r"""|\bcall:([\w.-]+)\{|to=functions\.([\w.-]+)|\A\s*(?:<[^>]+>)?\s*\[?([a-zA-Z_]\w+)\(\w+="""
    r"""|["']([a-z]\w+)["']\s*:\s*\{["']\w+["']\s*:"""
)
# Keys of a call that look like the name of a tool.
_NO_NAMES = frozenset({"arguments", "parameters", "args", "properties"})
_SCHEMA = re.compile(r"""["']type["']\s*:\s*["'](?:function|object)["']""")
_TOKEN = re.compile(r"<\|[^<>\n]{1,60}\|>|<｜[^<>\n]{1,60}｜>|</?[A-Za-z_:]{3,40}>|\[[A-Z_]{4,30}\]")


@dataclass(frozen=True, slots=True)
class Output:
    """One raw output, the file of tests that it is in, and the tools that it calls."""

    family: str
    text: str
    tools: tuple[str, ...]


def read(archive: Path) -> list[Output]:
    """The distinct raw outputs with a call in a tar or zip archive of sources."""
    found: dict[tuple[str, str], Output] = {}
    for name, source in _sources(archive):
        family = name.removesuffix("_tool_parser")
        for text in _strings(ast.parse(source)):
            found_names = dict.fromkeys(next(filter(None, match.groups())) for match in _CALL.finditer(text))
            names = tuple(name for name in found_names if name not in _NO_NAMES) or tuple(found_names)
            if len(text) >= _LEAST and names and not _SCHEMA.search(text):
                found.setdefault((family, text), Output(family, text, names))
    return list(found.values())


def items(archive: Path) -> Iterator[Item]:
    """Each output whole, damaged in four ways, and whole where its tools were not offered."""
    for output in read(archive):
        text = output.text
        offered: Mapping[str, object] = {name: {} for name in output.tools}
        first = _TOKEN.search(text)
        forms = {
            "whole": text,
            "tokens skipped": _TOKEN.sub("", text),
            "first tag eaten": text[: first.start()] + text[first.end() :] if first else text,
            "cut at 60 %": text[: len(text) * 6 // 10],
            "last 40 %": text[len(text) * 6 // 10 :],
        }
        for form, shown in forms.items():
            # What lost nothing is no other form; what lost all of its call is none.
            rest = (*output.tools, *('"</[(' if form == "last 40 %" else ()))
            if form == "whole" or (shown != text and any(part in shown for part in rest)):
                yield Item(f"call text: {form}", "something", answer_line(shown), ("restraint",), offered)
        yield Item("call text: whole, tool not offered", "something", answer_line(text), ("restraint",), {})


def _sources(archive: Path) -> Iterator[tuple[str, str]]:
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for name in opened.namelist():
                if match := _TESTS.search(name):
                    yield match.group(1), opened.read(name).decode("utf-8")
        return
    with tarfile.open(archive) as tar:
        for member in tar:
            if (match := _TESTS.search(member.name)) and (stream := tar.extractfile(member)):
                yield match.group(1), stream.read().decode("utf-8")


def _strings(tree: ast.Module) -> Iterator[str]:
    """The value of every outermost string expression that is made of constants, docstrings left out."""
    known: dict[str, str] = {}
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and (value := _value(statement.value, known)) is not None:
            known |= {target.id: value for target in statement.targets if isinstance(target, ast.Name)}
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.expr) and (value := _value(node, known)) is not None:
            yield value
            continue
        stack += ast.iter_child_nodes(node)


def _value(node: ast.expr, known: Mapping[str, str]) -> str | None:
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _value(node.left, known), _value(node.right, known)
        return None if left is None or right is None else left + right
    if isinstance(node, ast.JoinedStr):
        parts = [_value(p.value if isinstance(p, ast.FormattedValue) else p, known) for p in node.values]
        return None if None in parts else "".join(part for part in parts if part)
    return None
