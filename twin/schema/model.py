"""Pydantic models from YAML nodes, with every mistake in plain words."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, Union

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, core_schema

from twin.schema import units
from twin.schema.errors import UserError, show, suggest
from twin.schema.node import Key, Keys, Node, has

M = TypeVar("M", bound=BaseModel)


def validate(model_cls: type[M], node: Node) -> M:
    """A pydantic model from a node; the first mistake becomes a UserError with file, line and dotted key.

    An unknown key is named before a missing one, because a misspelt key causes both.
    """
    if not isinstance(node.value, dict):
        raise node.error(f"must be a mapping of keys to values, not {show(node.value)}")
    try:
        return model_cls.model_validate(node.value)
    except ValidationError as caught:
        errors = caught.errors(include_url=False)
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    path = _real_path(node.value, first)
    problem, suggestion = _words(model_cls, first)
    raise node.error(problem, path, suggestion)


def _real_path(value: Any, error: ErrorDetails) -> Keys:
    """The error's place without the names of union members that pydantic puts between the keys."""
    path: list[Key] = []
    last = len(error["loc"]) - 1
    for i, key in enumerate(error["loc"]):
        if has(value, key):
            value = value[key]
            path.append(key)
        elif i == last and error["type"] == "missing":
            path.append(key)
    return tuple(path)


def _words(model_cls: type[BaseModel], error: ErrorDetails) -> tuple[str, str | None]:
    """Plain words and a suggestion for one pydantic error."""
    kind, given, context = error["type"], error["input"], error.get("ctx", {})
    options: list[str] = []
    match kind:
        case "missing":
            return "is missing", None
        case "extra_forbidden":
            names = _names_at(model_cls, error["loc"][:-1])
            return "unknown key", suggest(str(error["loc"][-1]), names)
        case "literal_error" | "enum":
            options = re.findall(r"'([^']*)'", context["expected"])
            problem = f"must be one of {', '.join(options)}" if options else f"must be {context['expected']}"
        case "union_tag_invalid":
            options = re.findall(r"'([^']*)'", context["expected_tags"])
            given = context["tag"]
            problem = f"must be one of {', '.join(options)}"
        case "union_tag_not_found":
            return f"needs the key {context['discriminator']}", None
        case "value_error" | "assertion_error":
            cause = context["error"]
            return (cause.problem, cause.suggestion) if isinstance(cause, UserError) else (str(cause), None)
        case "float_type" | "float_parsing" | "int_type" | "int_parsing":
            problem = "must be a number" if kind.startswith("float") else "must be a whole number"
        case "int_from_float":
            problem = "must be a whole number"
        case "finite_number":
            problem = "must be a finite number"
        case "bool_type" | "bool_parsing":
            problem = "must be true or false"
        case "string_type":
            problem = "must be text"
        case "list_type" | "tuple_type":
            problem = "must be a list"
        case "dict_type" | "model_type" | "model_attributes_type":
            problem = "must be a mapping of keys to values"
        case "greater_than" | "greater_than_equal" | "less_than" | "less_than_equal":
            bound = next(context[k] for k in ("gt", "ge", "lt", "le") if k in context)
            word = {"gt": "greater than", "ge": "at least", "lt": "less than", "le": "at most"}
            problem = f"must be {word[next(k for k in word if k in context)]} {bound}"
        case "too_short" | "too_long":
            bound = context.get("min_length", context.get("max_length"))
            return f"needs {'at least' if kind == 'too_short' else 'at most'} {bound} entries", None
        case _:
            problem = error["msg"][:1].lower() + error["msg"][1:]
    suggestion = suggest(given, options) if isinstance(given, str) and options else None
    return f"{problem}, not {show(given)}", suggestion


def _names_at(model_cls: type[BaseModel], path: Sequence[Key]) -> list[str]:
    """Keys that the models reachable at `path` know."""
    kinds: list[Any] = [model_cls]
    for key in path:
        inner: list[Any] = []
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                inner += [f.annotation for n, f in kind.model_fields.items() if key in (n, f.alias)] or [kind]
            else:
                inner += typing.get_args(kind)
        kinds = _unwrap(inner)
    models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    return [f.alias or name for model in models for name, f in model.model_fields.items()]


def _unwrap(kinds: Iterable[Any]) -> list[Any]:
    """Members of unions and the bare types of Annotated."""
    flat: list[Any] = []
    for kind in kinds:
        origin = typing.get_origin(kind)
        if origin is Annotated:
            flat += _unwrap([typing.get_args(kind)[0]])
        elif origin is Union or origin is types.UnionType:
            flat += _unwrap(typing.get_args(kind))
        else:
            flat.append(kind)
    return flat


@dataclass(frozen=True)
class quantity:
    """Marks a pydantic float that YAML writes with its unit: `scale: Annotated[float, quantity("arcsec", gt=0)]`.

    The float is in the named unit whatever unit of the same kind the file used; NaN, inf, a missing unit and a unit
    of another kind are refused. `quantity("")` takes bare numbers and percentages. JSON shows the unit again.
    """

    unit: str
    gt: float = -math.inf
    ge: float = -math.inf
    lt: float = math.inf
    le: float = math.inf

    def read(self, value: Any) -> float:
        """The number in `self.unit`. Raises ValueError with plain words."""
        number = units.parse_quantity(value, self.unit)
        for ok, word, bound in (
            (number > self.gt, "greater than", self.gt),
            (number >= self.ge, "at least", self.ge),
            (number < self.lt, "less than", self.lt),
            (number <= self.le, "at most", self.le),
        ):
            if not ok:
                raise ValueError(f"must be {word} {f'{bound:g} {self.unit}'.strip()}, not {show(value)}")
        return number

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        def write(number: float) -> str | float:
            return f"{number!r} {self.unit}" if self.unit else number

        serialiser = core_schema.plain_serializer_function_ser_schema(write, when_used="json")
        return core_schema.no_info_plain_validator_function(self.read, serialization=serialiser)
