"""YAML of a compose file, read so that no two readers can disagree: one document, no repeated keys, bounded aliases.

PyYAML (the extra ``compose``) does the scanning and parsing; what it would construct out of tags is never asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..errors import ConfigurationError, FormatError
from ..limits import MAX_APP_COMPOSE, MAX_COMPOSE_NODES
from .strict_json import JsonValue

if TYPE_CHECKING:
    from yaml.nodes import Node

__all__ = ["MissingExtraError", "load_compose_yaml"]

_DEPTH: Final = 40
_PLAIN_TAGS: Final = {
    "tag:yaml.org,2002:str",
    "tag:yaml.org,2002:int",
    "tag:yaml.org,2002:float",
    "tag:yaml.org,2002:timestamp",
}
_TRUE: Final = ("true", "True", "TRUE")
_FALSE: Final = ("false", "False", "FALSE")


class MissingExtraError(ConfigurationError):
    """An optional dependency is needed and not installed."""


def load_compose_yaml(text: str) -> JsonValue:
    """Read a compose file.

    Numbers and dates stay texts. Words that YAML 1.1 takes for booleans and YAML 1.2 for texts (yes, no, on, off) stay
    texts as well.

    Raises:
        FormatError: ``compose_syntax`` (not YAML, or more than one reading), ``compose_shape`` (too large).
        MissingExtraError: the extra ``compose`` is not installed.
    """
    try:
        import yaml
    except ImportError:
        raise MissingExtraError("compose files need PyYAML: install teeverify[compose]") from None
    if len(text) > MAX_APP_COMPOSE:
        raise FormatError("compose_shape", f"docker_compose_file is longer than {MAX_APP_COMPOSE} characters")
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return None if node is None else _Reading().value(node, 0)
    except yaml.YAMLError:
        raise FormatError("compose_syntax", "docker_compose_file is not one YAML document") from None
    except RecursionError:
        raise FormatError("compose_shape", "docker_compose_file is nested too deeply") from None


class _Reading:
    """One pass over the nodes, counting every visit, so that aliases cannot multiply without end."""

    def __init__(self) -> None:
        self._visits = 0

    def value(self, node: Node, depth: int) -> JsonValue:
        self._visits += 1
        if self._visits > MAX_COMPOSE_NODES or depth > _DEPTH:
            raise FormatError("compose_shape", "docker_compose_file is larger or deeper than any compose file")
        kind: str = getattr(node, "id", "")
        if kind == "mapping" and node.tag == "tag:yaml.org,2002:map":
            return self._mapping(node, depth)
        if kind == "sequence" and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, depth + 1) for item in node.value]
        if kind == "scalar":
            return _scalar(node)
        raise FormatError("compose_syntax", "docker_compose_file holds a tag, which readers may take differently")

    def _mapping(self, node: Node, depth: int) -> dict[str, JsonValue]:
        members: dict[str, JsonValue] = {}
        merged: dict[str, JsonValue] = {}
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                if merged:
                    raise FormatError("compose_syntax", "docker_compose_file repeats a merge in one mapping")
                merged = self._merged(self.value(value, depth + 1))
                continue
            name = _scalar(key) if getattr(key, "id", "") == "scalar" else None
            if not isinstance(name, str):
                raise FormatError("compose_syntax", "docker_compose_file has a key that is no text")
            if name in members:
                raise FormatError("compose_syntax", "docker_compose_file repeats a key")
            members[name] = self.value(value, depth + 1)
        return {**merged, **members}

    @staticmethod
    def _merged(value: JsonValue) -> dict[str, JsonValue]:
        """YAML merge keys: own members win over merged ones, and of several merged mappings the earlier ones."""
        mappings = value if isinstance(value, list) else [value]
        result: dict[str, JsonValue] = {}
        for mapping in mappings:
            if not isinstance(mapping, dict):
                raise FormatError("compose_syntax", "docker_compose_file merges something that is no mapping")
            result = {**mapping, **result}
        return result


def _scalar(node: Node) -> JsonValue:
    text = str(node.value)
    if node.tag == "tag:yaml.org,2002:null":
        return None
    if node.tag == "tag:yaml.org,2002:bool":
        return True if text in _TRUE else False if text in _FALSE else text
    if node.tag in _PLAIN_TAGS:
        return text
    raise FormatError("compose_syntax", "docker_compose_file holds a tag, which readers may take differently")
