"""App-compose documents for tests, made of a compose file and some members."""

from __future__ import annotations

import json
from typing import Any

from teeverify.formats.compose_facts import ComposeFacts, read_compose_facts

DIGEST = "1" * 64
IMAGE = f"registry.example:5000/a/b:v1@sha256:{DIGEST}"


def app_compose(compose: str, **members: Any) -> str:
    document = {"manifest_version": 2, "name": "app", "runner": "docker-compose", "docker_compose_file": compose}
    return json.dumps({**document, **members})


def service(**members: Any) -> str:
    """A compose file of one good service with some members replaced (JSON is YAML)."""
    return json.dumps({"services": {"app": {"image": IMAGE, **members}}})


def facts_of(compose: str, **members: Any) -> ComposeFacts:
    return read_compose_facts(app_compose(compose, **members))
