"""YAML that knows its lines."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from twin.schema.errors import UserError, show, suggest

MAX_BYTES = 2**20
MAX_DEPTH = 32
Key = str | int
Keys = tuple[Key, ...]


@dataclass(frozen=True)
class Node:
    """A piece of a YAML document that knows where it came from.

    value   plain Python: dict with str keys, list, str, int, float, bool, None
    file    name of the document
    marks   path of a value in the whole document -> (file, line); `--set` values have file "--set" and no line
    path    where this node lies in the whole document
    """

    value: Any
    file: str
    marks: dict[Keys, tuple[str, int | None]]
    path: Keys = ()

    def where(self, path: Sequence[Key] = ()) -> tuple[str, int | None]:
        """(file, line) of `path` below this node, or of the nearest parent that has a mark."""
        full = self.path + tuple(path)
        while full and full not in self.marks:
            full = full[:-1]
        return self.marks.get(full, (self.file, None))

    def line_of(self, path: Sequence[Key] = ()) -> int | None:
        return self.where(path)[1]

    def at(self, *keys: Key) -> Node:
        """The node below `keys`. Raises UserError where there is none."""
        value: Any = self.value
        for depth, key in enumerate(keys):
            if not has(value, key):
                options = value if isinstance(value, dict) else ()
                raise self.error("is missing", keys[: depth + 1], suggest(str(key), options))
            value = value[key]
        return Node(value, self.file, self.marks, self.path + keys)

    def error(self, problem: str, path: Sequence[Key] = (), suggestion: str | None = None) -> UserError:
        """A UserError that points at `path` below this node."""
        file, line = self.where(path)
        key = ".".join(map(str, self.path + tuple(path))) or None
        return UserError(problem, file=file, line=line, key=key, suggestion=suggestion)

    def set(self, assignment: str) -> Node:
        """A copy with `a.b.0=value` applied (for `--set`); the value is read as YAML, parents must exist.

        Raises UserError for text without "=", unknown parents, and list indices out of range.
        """
        name, equals, text = assignment.partition("=")
        keys = name.strip().split(".")
        if not equals or not all(keys):
            raise UserError(f'cannot read "{assignment}": write key=value, for example train.epochs=3', file="--set")
        new = copy.deepcopy(self.value)
        parent: Any = new
        path: list[Key] = []
        for depth, word in enumerate(keys):
            last = depth == len(keys) - 1
            key: Key = int(word) if isinstance(parent, list) and word.isdecimal() else word
            dotted = ".".join(keys[: depth + 1])
            is_list, is_dict = isinstance(parent, list), isinstance(parent, dict)
            if not (is_list or is_dict):
                raise UserError(f"has no keys, it is {show(parent)}", file="--set", key=".".join(keys[:depth]))
            if not has(parent, key) and not (last and is_dict):
                if is_list:
                    raise UserError(f"needs an index from 0 to {len(parent) - 1}", file="--set", key=dotted)
                raise UserError("unknown key", file="--set", key=dotted, suggestion=suggest(word, parent))
            path.append(key)
            if not last:
                parent = parent[key]
        parsed = parse_yaml(text, "--set", empty_ok=True)
        parent[path[-1]] = parsed.value
        full = self.path + tuple(path)
        marks = {k: v for k, v in self.marks.items() if k[: len(full)] != full}
        return Node(new, self.file, {**marks, full: ("--set", None)}, self.path)


def has(value: Any, key: Key) -> bool:
    if isinstance(value, list):
        return isinstance(key, int) and 0 <= key < len(value)
    return isinstance(value, dict) and key in value


class _Composer(
    yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer, yaml.resolver.BaseResolver
):
    """PyYAML up to marked nodes; no aliases (they can blow a small file up), no deep nesting, no objects."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        yaml.resolver.BaseResolver.__init__(self)
        self.depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not supported", problem_mark=event.start_mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {MAX_DEPTH} levels", problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


# The core schema of YAML 1.2: no "no" that is False, no 1:30 that is 90, and 1e-3 is a number.
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
):
    _Composer.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)


def _plain(node: yaml.Node, name: str, path: Keys, marks: dict[Keys, tuple[str, int | None]]) -> Any:
    """Plain Python from a composed YAML node; fills `marks`."""
    line = node.start_mark.line + 1
    marks.setdefault(path, (name, line))
    kind = str(node.tag).removeprefix("tag:yaml.org,2002:")
    key = ".".join(map(str, path)) or None
    if isinstance(node, yaml.SequenceNode) and kind == "seq":
        return [_plain(child, name, (*path, i), marks) for i, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode) and kind == "map":
        result: dict[str, Any] = {}
        for key_node, child in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError("a key must be plain text", file=name, line=key_node.start_mark.line + 1, key=key)
            word = key_node.value
            at = (*path, word)
            if word in result:
                message = f"the key stands twice, first in line {marks[at][1]}"
                raise UserError(message, file=name, line=key_node.start_mark.line + 1, key=".".join(map(str, at)))
            marks[at] = (name, key_node.start_mark.line + 1)
            result[word] = _plain(child, name, at, marks)
        return result
    text = node.value
    try:
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return text.lower() == "true"
            case "int":
                return int(text, 16 if text.lower().startswith("0x") else 10)
            case "float":
                return float(text.replace(".inf", "inf").replace(".nan", "nan") if text[-1].isalpha() else text)
    except (ValueError, OverflowError):
        raise UserError("this number cannot be read", file=name, line=line, key=key) from None
    raise UserError(f"the tag {node.tag} is not supported", file=name, line=line, key=key)


def parse_yaml(text: str, name: str, *, empty_ok: bool = False) -> Node:
    """Reads one YAML document (core schema, no aliases, no tags, no duplicate keys) into a Node.

    Raises UserError for anything else, for more than MAX_BYTES, and for an empty document unless `empty_ok`.
    """
    if len(text) > MAX_BYTES:
        raise UserError(f"larger than {MAX_BYTES // 2**20} MB: this is no recipe or instrument file", file=name)
    try:
        root = _Composer(text).get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else None
        raise UserError(f"not valid YAML: {error.problem or error.context}", file=name, line=line) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UserError(f"not valid YAML: character {error.character!r}", file=name, line=line) from None
    if root is None:
        if empty_ok:
            return Node(None, name, {})
        raise UserError("the file is empty", file=name)
    marks: dict[Keys, tuple[str, int | None]] = {}
    return Node(_plain(root, name, (), marks), name, marks)


def load_yaml(path: str | Path) -> Node:
    """`parse_yaml` of a UTF-8 file. Raises UserError where the file is missing, unreadable, too large or not text."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
        text = data.decode("utf-8") if len(data) <= MAX_BYTES else data.decode("latin-1")
    except FileNotFoundError:
        folder = path.parent if path.parent.is_dir() else None
        near = suggest(path.name, (p.name for p in folder.iterdir() if p.is_file())) if folder else None
        raise UserError("no such file", file=path, suggestion=near) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UserError("not UTF-8 text", file=path, line=line) from None
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror or error}", file=path) from None
    return parse_yaml(text, str(path))
