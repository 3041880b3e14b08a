"""Kubernetes' own schemas, and the Prometheus Operator's, from the files of their Go modules.

A field that the schema does not know is an error, as it is for `kubectl apply`: the API server itself would drop it.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft7Validator
from ruamel.yaml import YAML

from tests.foreign.toolchains import cached, fetch, toolchain
from tests.helm.chart import HERE, Manifest

# The oldest that Chart.yaml promises, and the newest.
OLDEST: Final = "v1.30.14"
NEWEST: Final = "v1.37.2"
OPERATOR: Final = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
Kind = tuple[str, str]
# What the API takes, and what OpenAPI 2 can't say of it.
SEVERAL_TYPES: Final[Mapping[str, list[str]]] = {
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ["string", "integer"],
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ["string", "number"],
}


def errors(manifest: Manifest, kubernetes: str) -> list[str]:
    """Return what is wrong with a manifest; nothing if that version of Kubernetes takes it."""
    kind = manifest["apiVersion"], manifest["kind"]
    known = _of_the_operator() if kind[0].startswith("monitoring.coreos.com/") else _of_kubernetes(kubernetes)
    if kind not in known:
        return [f"there is no {kind}"]
    return [f"{error.json_path}: {error.message}" for error in known[kind].iter_errors(manifest)]


@cache
def _of_kubernetes(version: str) -> dict[Kind, Draft7Validator]:
    swagger = _module(f"k8s.io/kubernetes@{version}") / "api" / "openapi-spec" / "swagger.json"
    definitions = json.loads(swagger.read_text())["definitions"]
    for name, several in SEVERAL_TYPES.items():
        definitions[name]["type"] = several
    _close(definitions)
    return {
        (f"{kind['group']}/{kind['version']}".lstrip("/"), kind["kind"]): Draft7Validator(
            {"$ref": f"#/definitions/{name}", "definitions": definitions}
        )
        for name, definition in definitions.items()
        for kind in definition.get("x-kubernetes-group-version-kind", ())
    }


@cache
def _of_the_operator() -> dict[Kind, Draft7Validator]:
    return dict(_custom(_module(OPERATOR) / "example" / "prometheus-operator-crd"))


def _custom(folder: Path) -> Iterator[tuple[Kind, Draft7Validator]]:
    for name in ("podmonitors", "prometheusrules"):
        spec = YAML(typ="safe").load(folder / f"monitoring.coreos.com_{name}.yaml")["spec"]
        for version in spec["versions"]:
            schema = version["schema"]["openAPIV3Schema"]
            _close(schema)
            yield (f"{spec['group']}/{version['name']}", spec["names"]["kind"]), Draft7Validator(schema)


def _close(schema: Any) -> None:
    """Let an object have no other properties than those of its schema, at every depth."""
    if isinstance(schema, dict):
        if isinstance(schema.get("properties"), dict) and schema.get("type", "object") == "object":
            schema.setdefault("additionalProperties", False)
        for below in schema.values():
            _close(below)
    elif isinstance(schema, list):
        for below in schema:
            _close(below)


def _module(module: str) -> Path:
    """Return the folder of a Go module; go.sum says what it must contain."""
    folder = cached("schemas", [HERE / "go.mod", HERE / "go.sum"])
    return Path(json.loads(fetch([toolchain("go"), "mod", "download", "-json", module], folder))["Dir"])
