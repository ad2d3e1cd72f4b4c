"""Passwords of cameras are in none of the places where Ray keeps or shows what it runs."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("ray") is None or find_spec("cryptography") is None:
    pytest.skip("ray or cryptography is not installed (the extra fleet)", allow_module_level=True)

from ferengine.fleet.cluster import connected
from ferengine.fleet.fleet import FleetCamera
from fleet_help import Machines, Watcher, wait_for

SECRET = "hunter2-never-shown"

pytestmark = pytest.mark.timeout(900)


def contents(folder: Path) -> dict[Path, bytes]:
    """What lies in a folder and below."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.is_symlink()}


def test_passwords_are_in_no_log_table_or_name(watcher: Watcher, machines: Machines) -> None:
    source = f"rtsp://admin:{SECRET}@127.0.0.1:9/live"
    watcher.fleet.add(FleetCamera(f"secret={source}"))
    wait_for(lambda: watcher.health().cameras["secret"].state in ("disconnected", "failed"), "it cannot be opened")

    found = [path for path, data in contents(machines.session).items() if SECRET.encode() in data]
    assert not found

    from ray.experimental import internal_kv

    ray = connected()
    namespaces = [b"ferengine", b"fun", b"cluster", b"job", b"session", b"dashboard", None]
    keys = [(space, key) for space in namespaces for key in internal_kv._internal_kv_list(b"", namespace=space)]
    assert (b"ferengine", b"ferengine/state") in keys
    for space, key in keys:
        value = internal_kv._internal_kv_get(key, namespace=space)
        assert SECRET.encode() not in key + (value or b""), key

    from ray._private.state import actors, state

    shown = repr(actors()) + repr(state.node_table()) + repr(state.job_table())
    assert "ferengine-coordinator" in shown
    assert SECRET not in shown
    assert SECRET not in repr(watcher.health()) + repr(watcher.events) + repr(ray.util.list_named_actors(all_namespaces=True))
    watcher.fleet.remove("secret")
