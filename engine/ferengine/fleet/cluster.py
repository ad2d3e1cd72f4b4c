"""Ray itself: starting or joining a cluster, with its telemetry off and its authentication on; the names of actors."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping
from typing import Any

from ferengine.errors import FerengineError, MissingDependencyError, UsageError
from ferengine.fleet.seal import cluster_token
from ferengine.pip_hint import install_extra

NAMESPACE = "ferengine"
HEALTH_CHECKS: Mapping[str, Any] = {
    "health_check_initial_delay_ms": 5000,
    "health_check_period_ms": 2000,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 5,
}
"""When a cluster that is started here takes a node for dead. Cameras do not wait for it: their leases end after five seconds.
Ray's own check only decides when a node is given up for good, which costs it its processes: a node that was away for shorter
takes its cameras back without a restart."""
HEAD = "node:__internal_head__"
"""The resource of the cluster's head, also after that was restarted: the coordinator runs there, beside Ray's tables."""
_NAME_LABEL = "name"


class FleetError(FerengineError):
    """The cluster cannot be reached, or the fleet's coordinator has ended."""


class FleetEndedError(FleetError):
    """The fleet has ended, by this program or another: its coordinator is gone for good."""


def connect(address: str | None, *, cpus: int | None = None) -> bool:
    """Join a cluster, or start one on this machine. Joins the one that the program is connected to already.

    Args:
        address: ``HOST:PORT`` or "auto" of a cluster; ``None`` starts one, which nothing but this machine reaches.
        cpus: CPU cores of the node that is started.

    Returns:
        Whether it was connected here, so that ``disconnect`` ends it.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: The cluster has no token authentication.
        FleetError: It cannot be reached.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    token = cluster_token()
    if address is None and token is None:
        token = os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if token is None:
        raise UsageError(
            "there is no token for the cluster: a fleet runs only on a cluster with Ray's token authentication. Make one with "
            "ray get-auth-token --generate, copy ~/.ray/auth_token to all nodes, and start them with RAY_AUTH_MODE=token"
        )
    if "ray" in sys.modules and os.environ.get("RAY_AUTH_MODE", "").lower() != "token":  # it was read when ray was imported
        raise UsageError("ray was imported without token authentication: set RAY_AUTH_MODE=token before the program starts")
    os.environ["RAY_AUTH_MODE"] = "token"
    ray = import_ray()
    if ray.is_initialized():
        return False
    options: dict[str, Any] = {"namespace": NAMESPACE, "log_to_driver": False, "logging_level": "warning"}
    try:
        if address is None:
            ray.init(
                "local", include_dashboard=False, num_cpus=cpus, _node_ip_address="127.0.0.1",
                _system_config=dict(HEALTH_CHECKS), **options,
            )  # fmt: skip
        else:
            ray.init(address, **options)
    except Exception as error:  # Ray has no class for what goes wrong here, such as a node that takes longer than 30 s to start
        where = "a cluster cannot be started here" if address is None else f"there is no cluster at {address}"
        raise FleetError(f"{where}: {' '.join(str(error).split())[:300]}") from error
    return True


def disconnect() -> None:
    """Leave the cluster; one that was started here ends."""
    import_ray().shutdown()


def import_ray() -> Any:
    """The module ``ray``. Raises MissingDependencyError."""
    try:
        import ray
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        raise MissingDependencyError(f"a fleet needs the package ray: {install_extra('fleet')}") from None
    return ray


def coordinator_name(fleet: str) -> str:
    """The name of a fleet's coordinator."""
    return f"{fleet}-coordinator"


def engine_name(fleet: str, node_id: str) -> str:
    """The name of the engine on a node."""
    return f"{fleet}-engine-{node_id[:12]}"


def node_name(node: Mapping[str, Any]) -> str:
    """What the fleet calls a node, of ``ray.nodes()``: its label "name", or its host with the beginning of Ray's id."""
    label: str | None = node.get("Labels", {}).get(_NAME_LABEL)
    return label or f"{node['NodeManagerHostname']}-{node['NodeID'][:6]}"


def own_labels(node: Mapping[str, Any]) -> dict[str, str]:
    """The labels that were given to a node, without Ray's own."""
    return {key: value for key, value in node.get("Labels", {}).items() if not key.startswith("ray.io/")}


def find_actor(name: str) -> Any | None:
    """An actor by its name, ``None`` where there is none (any more). Raises FleetError where the cluster was left."""
    try:
        return connected().get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None


def is_restarting(actor: Any) -> bool:
    """Whether Ray is about to start a successor of an actor, which has died."""
    from ray._private.state import actors

    state: str = actors(actor._actor_id.hex())["State"]
    return state == "RESTARTING"


def connected() -> Any:
    """The module ``ray``, connected: most of its functions would start another cluster. Raises FleetError."""
    ray = import_ray()
    if not ray.is_initialized():
        raise FleetError("the cluster was left, or has ended")
    return ray


def on_node(node_id: str) -> Any:
    """A strategy that places an actor on a node, and nowhere else."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(node_id, soft=False)
