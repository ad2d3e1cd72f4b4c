"""The files of docs/deploy/kubernetes: valid by the schemas of Kubernetes and KubeRay, and as closed as the page says."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "deploy" / "kubernetes"
PAGE = (ROOT / "docs" / "pages" / "how-to" / "kubernetes.md").read_text()
VERSION = "1.30"

TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
GROUP = {
    "rayStartParams": TEXTS,
    "labels": TEXTS,
    "template": {"type": "object", "required": ["spec"]},
    "resources": TEXTS,
}
CLUSTER = {  # the fields of KubeRay's RayCluster that are of use here: docs.ray.io, "KubeRay CRD API reference"
    "type": "object",
    "additionalProperties": False,
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayCluster"},
        "metadata": {"type": "object", "required": ["name", "namespace"]},
        "spec": {
            "type": "object",
            "additionalProperties": False,
            "required": ["rayVersion", "headGroupSpec", "workerGroupSpecs"],
            "properties": {
                "rayVersion": {"type": "string", "pattern": r"^\d+\.\d+\.\d+$"},
                "gcsFaultToleranceOptions": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "redisAddress": {"type": "string"},
                        "redisUsername": {"type": "object"},
                        "redisPassword": {"type": "object", "required": ["valueFrom"], "additionalProperties": False,
                                          "properties": {"valueFrom": {"type": "object"}}},
                        "externalStorageNamespace": {"type": "string"},
                    },
                },
                "headGroupSpec": {
                    "type": "object",
                    "additionalProperties": False,
                    "required": ["rayStartParams", "template"],
                    "properties": {**GROUP, "serviceType": {"enum": ["ClusterIP"]}},
                },
                "workerGroupSpecs": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["groupName", "replicas", "rayStartParams", "template"],
                        "properties": {
                            **GROUP,
                            "groupName": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$"},
                            **{name: {"type": "integer", "minimum": 0} for name in ("replicas", "minReplicas", "maxReplicas")},
                        },
                    },
                },
            },
        },
    },
}  # fmt: skip


def documents() -> list[dict[str, Any]]:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    return [each for name in kustomization["resources"] for each in yaml.safe_load_all((FOLDER / name).read_text())]


DOCUMENTS = documents()
[RAY] = [each for each in DOCUMENTS if each["kind"] == "RayCluster"]
GROUPS = {"head": RAY["spec"]["headGroupSpec"], **{group["groupName"]: group for group in RAY["spec"]["workerGroupSpecs"]}}
PODS = {name: group["template"]["spec"] for name, group in GROUPS.items()} | {
    each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in DOCUMENTS if each["kind"] == "StatefulSet"
}


def containers() -> list[Any]:
    return [
        pytest.param(pod, container, id=f"{name}: {container['name']}")
        for name, pod in PODS.items()
        for container in pod["containers"]
    ]


def names_within(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get(key), dict):
            yield value[key]["name"]
        for each in value.values():
            yield from names_within(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from names_within(each, key)


def test_every_file_is_applied() -> None:
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert {path.name for path in FOLDER.glob("*.yaml")} == {*kustomization["resources"], "kustomization.yaml"}
    assert {each["metadata"].get("namespace") for each in DOCUMENTS if each["kind"] != "Namespace"} == {"ferengine"}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda each: f"{each['kind']} {each['metadata']['name']}")
def test_documents_are_valid(document: dict[str, Any]) -> None:
    if document["kind"] == "RayCluster":
        jsonschema.validate(document, CLUSTER)
    else:
        kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("name", PODS)
def test_pods_are_valid(name: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": PODS[name]}
    kubernetes_validate.validate(pod, VERSION, strict=True)
    volumes = {volume["name"] for volume in PODS[name].get("volumes", ())} | {"data"}  # that of Redis is claimed
    for container in PODS[name]["containers"]:
        assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


def test_the_schema_of_clusters_finds_mistakes() -> None:
    spoilt = {**RAY, "spec": {**RAY["spec"], "workerGroups": []}}
    with pytest.raises(jsonschema.ValidationError, match="workerGroups"):
        jsonschema.validate(spoilt, CLUSTER)
    numbers = {**RAY["spec"]["headGroupSpec"], "rayStartParams": {"num-cpus": 0}}
    with pytest.raises(jsonschema.ValidationError, match="0 is not of type 'string'"):
        jsonschema.validate({**RAY, "spec": {**RAY["spec"], "headGroupSpec": numbers}}, CLUSTER)


@pytest.mark.parametrize(("pod", "container"), containers())
def test_containers_may_do_nothing_else(pod: dict[str, Any], container: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod)
    assert not [volume for volume in pod.get("volumes", ()) if "hostPath" in volume]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert {"cpu", "memory"} <= set(container["resources"]["limits"])
    for variable in container["env"]:
        assert "value" not in variable or not re.search("TOKEN|PASSWORD", variable["name"])


@pytest.mark.parametrize("group", GROUPS)
def test_ray_asks_for_its_token_and_reports_nothing(group: str) -> None:
    for container in GROUPS[group]["template"]["spec"]["containers"]:
        values = {variable["name"]: variable.get("value", variable.get("valueFrom")) for variable in container["env"]}
        assert values["RAY_AUTH_MODE"] == "token"
        assert values["RAY_AUTH_TOKEN"] == {"secretKeyRef": {"name": "ferengine-token", "key": "auth_token"}}
        assert values["RAY_USAGE_STATS_ENABLED"] == "0"
    assert "dashboard-host" not in GROUPS[group]["rayStartParams"]


def test_nothing_is_visible_from_outside() -> None:
    assert RAY["spec"]["headGroupSpec"]["rayStartParams"]["include-dashboard"] == "false"
    assert not [each for each in DOCUMENTS if each["kind"] == "Ingress"]
    services = [each["spec"] for each in DOCUMENTS if each["kind"] == "Service"]
    assert {service.get("type", "ClusterIP") for service in services} == {"ClusterIP"}
    policies = {each["metadata"]["name"]: each["spec"] for each in DOCUMENTS if each["kind"] == "NetworkPolicy"}
    assert policies["deny-all"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    for name, policy in policies.items():
        for rule in policy.get("ingress", ()):
            assert rule["from"], f"{name} lets anybody in"


def test_health_checks_are_those_of_a_cluster_that_the_fleet_starts() -> None:
    tree = ast.parse((ROOT / "engine" / "ferengine" / "fleet" / "cluster.py").read_text())  # it needs the extra `fleet`
    [checks] = [
        each.value for each in ast.walk(tree) if isinstance(each, ast.AnnAssign) and ast.unparse(each.target) == "HEALTH_CHECKS"
    ]
    head = PODS["head"]["containers"][0]["env"]
    found = {each["name"].removeprefix("RAY_"): each["value"] for each in head if each["name"].startswith("RAY_health_check_")}
    assert found == {name: str(value) for name, value in ast.literal_eval(checks).items()}


def test_versions_and_images_agree() -> None:
    dockerfile = (FOLDER / "Dockerfile").read_text()
    assert f"'ray=={RAY['spec']['rayVersion']}'" in dockerfile
    extra = re.search(r"(?m)^fleet = \[(.*)\]", (ROOT / "pyproject.toml").read_text())
    assert extra is not None
    wanted = {re.split("[><=]", name)[0] for name in re.findall(r'"([^"]+)"', extra[1])} - {"ferengine[serve]"}
    assert wanted == set(re.findall(r"'([a-z]+)[>=]", dockerfile))  # ferengine[serve] is in the image below
    images = {container["image"] for name in GROUPS for container in PODS[name]["containers"]}
    assert images == {"ferengine:fleet"}


def test_the_page_makes_every_secret_with_its_keys() -> None:
    made = dict(re.findall(r"create secret generic (\S+) (.*)", PAGE))
    named = set(names_within(DOCUMENTS, "secretKeyRef")) | {
        volume["secret"]["secretName"] for pod in PODS.values() for volume in pod.get("volumes", ()) if "secret" in volume
    }
    assert named == set(made)
    assert "--from-literal=auth_token=" in made["ferengine-token"]
    assert "--from-literal=password=" in made["ferengine-redis"]
    assert {"--from-file=fleet.toml", "--from-file=page-token"} <= set(made["ferengine-fleet"].split())
    for path in FOLDER.iterdir():
        assert f"`{path.name}`" in PAGE


def test_the_fleet_starts_with_options_that_exist() -> None:
    [fleet] = [each for each in PODS["head"]["containers"] if each["name"] == "fleet"]
    from typer.testing import CliRunner

    from ferengine.cli.app import app

    words = fleet["command"][-1].split("exec ferengine ")[1].split()
    help_text = CliRunner(env={"COLUMNS": "200"}).invoke(app, [words[0], "--help"]).stdout
    assert {word for word in words if word.startswith("--")} <= set(re.findall(r"--[a-z][a-z-]*", help_text))
