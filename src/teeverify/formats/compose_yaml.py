"""YAML of a compose file, read so that no two readers can disagree: one document, no repeated keys, bounded aliases.

PyYAML (the extra ``compose``) does the scanning and parsing; what it would construct out of tags is never asked for.
What readers of YAML take differently (tags, odd line ends, a merge after the members that it would replace) is refused.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import TYPE_CHECKING, Any, Final

from ..errors import ConfigurationError, FormatError
from ..limits import MAX_COMPOSE_FILE, MAX_COMPOSE_NODES
from .strict_json import JsonValue

if TYPE_CHECKING:
    from yaml.nodes import Node

__all__ = ["MissingExtraError", "load_compose_yaml"]

_DEPTH: Final = 40
_ODD_BREAKS: Final = re.compile("\r(?!\n)|[\x85\u2028\u2029\ufeff]")
"""Line ends of YAML 1.1 that YAML 1.2 takes for text, and byte order marks."""
_MERGE: Final = "tag:yaml.org,2002:merge"
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
    if len(text) > MAX_COMPOSE_FILE:
        raise FormatError("compose_shape", f"docker_compose_file is longer than {MAX_COMPOSE_FILE} characters")
    if any(_is_nested(line) for line in text.splitlines()):
        raise FormatError("compose_shape", "docker_compose_file is nested too deeply")
    if _ODD_BREAKS.search(text):
        raise FormatError("compose_syntax", "docker_compose_file holds a line end that readers may take differently")
    try:
        node = yaml.compose(text, Loader=_loader())
        return None if node is None else _Reading().value(node, 0)
    except yaml.YAMLError:
        raise FormatError("compose_syntax", "docker_compose_file is not one YAML document") from None
    except RecursionError:
        raise FormatError("compose_shape", "docker_compose_file is nested too deeply") from None


def _is_nested(line: str) -> bool:
    """Are more brackets open in one line than a compose file has levels? PyYAML needs quadratic time for them."""
    if line.count("[") + line.count("{") <= _DEPTH:
        return False
    steps = (1 if character in "[{" else -1 if character in "]}" else 0 for character in line)
    return max(itertools.accumulate(steps)) > _DEPTH


@functools.cache
def _loader() -> Any:
    """PyYAML's safe loader, which is refused every tag that is written out, and stopped at `MAX_COMPOSE_NODES`."""
    import yaml

    class Tagless(yaml.SafeLoader):
        nodes = 0

        def compose_node(self, parent: Node | None, index: int) -> Node | None:
            self.nodes += 1
            if self.nodes > MAX_COMPOSE_NODES:
                raise FormatError("compose_shape", "docker_compose_file is larger than any compose file")
            event = self.peek_event()  # type: ignore[no-untyped-call]
            if getattr(event, "tag", None) is not None:
                raise FormatError("compose_syntax", "docker_compose_file holds a tag, which readers may take otherwise")
            return super().compose_node(parent, index)

    return Tagless


class _Reading:
    """One pass over the nodes, counting every visit, so that aliases cannot multiply without end."""

    def __init__(self) -> None:
        self._visits = 0

    def value(self, node: Node, depth: int) -> JsonValue:
        self._visits += 1
        if self._visits > MAX_COMPOSE_NODES or depth > _DEPTH:
            raise FormatError("compose_shape", "docker_compose_file is larger or deeper than any compose file")
        kind: str = getattr(node, "id", "")
        if kind == "mapping":
            return self._mapping(node, depth)
        if kind == "sequence":
            return [self.value(item, depth + 1) for item in node.value]
        return _scalar(node)

    def _mapping(self, node: Node, depth: int) -> dict[str, JsonValue]:
        members: dict[str, JsonValue] = {}
        merged: dict[str, JsonValue] | None = None
        for key, value in node.value:
            if key.tag == _MERGE:
                if merged is not None:
                    raise FormatError("compose_syntax", "docker_compose_file repeats a merge in one mapping")
                merged = self._merged(self.value(value, depth + 1))
                if merged.keys() & members.keys():  # of which readers keep the one or the other
                    raise FormatError("compose_syntax", "docker_compose_file merges over members that stand before")
                continue
            name = _scalar(key) if getattr(key, "id", "") == "scalar" else None
            if not isinstance(name, str) or name == "<<":
                raise FormatError("compose_syntax", "docker_compose_file has a key that is no text, or a quoted merge")
            if name in members:
                raise FormatError("compose_syntax", "docker_compose_file repeats a key")
            members[name] = self.value(value, depth + 1)
        return {**(merged or {}), **members}

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
    raise FormatError("compose_syntax", "docker_compose_file holds a word that readers may take differently")
