"""YAML with line marks, and every error message about it. Depends on pydantic and PyYAML only."""

from twin.schema.errors import UserError, suggest
from twin.schema.model import quantity, validate
from twin.schema.node import Node, load_yaml, parse_yaml

__all__ = ["Node", "UserError", "load_yaml", "parse_yaml", "quantity", "suggest", "validate"]
