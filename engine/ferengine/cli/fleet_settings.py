"""The settings of ``ferengine fleet``, in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, Field

from ferengine.cli.config_file import load_model
from ferengine.cli.settings import PER_SOURCE, SourceTable, check_of_use
from ferengine.config import EngineConfig
from ferengine.errors import UsageError
from ferengine.fleet.outputs import FleetOutputs
from ferengine.sources import SourceSpec, parse_source, unique_names

_CONFIG = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, alias_generator=lambda name: name.replace("_", "-"))


class CameraTable(SourceTable):
    """One camera: exactly one of url, camera, file, images and demo, how it is read, and which nodes may read it."""

    affinity: dict[str, str] = Field(
        default_factory=dict, description="Labels that a node must have to read this camera.", examples=[{"site": "north"}]
    )

    def spec(self) -> SourceSpec:
        """The source. Unless the table says otherwise it is played at its own rate and opened again always, the demo for ever.

        Raises:
            UsageError: It makes no sense.
        """
        given: dict[str, Any] = {name: getattr(self, name) for name in PER_SOURCE if name in self.model_fields_set}
        if self.name is not None:
            given["name"] = self.name
        usual = {"pace": "native", "reconnect": "always", "loop": 0 if self.demo is not None else 1}
        return parse_source(self.text, **{**usual, **given})


class FleetSettings(EngineConfig, FleetOutputs):
    """All settings of a fleet: cameras, outputs of the nodes, those of the engine as in ``run.toml``, and of the fleet."""

    model_config = _CONFIG

    name: str = Field("ferengine", pattern=r"^[A-Za-z0-9_-]{1,60}$", description="Name of the fleet in its cluster.")
    lease: float = Field(
        5.0, ge=2, le=600, description="Seconds after which the cameras of a node that does not answer are given to others."
    )
    hysteresis: float = Field(
        0.2, ge=0, le=1, description="How uneven the load may be, as a fraction of a node, before a camera is moved for it."
    )
    state: Path | None = Field(
        None,
        description="Keep the fleet's state in this folder of the cluster's head, so that frame and track numbers go on after "
        "the whole cluster was restarted.",
        examples=["/var/lib/ferengine/fleet"],
    )
    gpus: float = Field(1.0, ge=0, description="GPUs, or a fraction of one, that the engine of a node takes where it has them.")
    detached: bool = Field(False, description="Let the fleet go on when ferengine fleet ends; the next one joins it.")
    listen: str | None = Field(
        None,
        description="Serve the fleet's page, metrics and health at HOST:PORT, and the page of each node with its video. Other "
        "machines reach them only with token-file.",
        examples=["127.0.0.1:8080"],
    )
    node_port: int = Field(0, ge=0, le=65535, description="Port of the page of each node; 0 takes any that is free.")
    token_file: Path | None = Field(
        None,
        description="Ask for the token in this file on the pages, at least 16 characters. A file that is missing is made.",
        examples=["/etc/ferengine/page-token"],
    )
    tls_certificate: Path | None = Field(
        None, description="Use TLS for the pages, with this certificate chain, a PEM file of each node."
    )
    tls_key: Path | None = Field(None, description="The private key of the certificate, a PEM file of each node.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum level of log messages on standard error."
    )
    camera: tuple[CameraTable, ...] = Field((), description="The cameras, one [[camera]] table each.")

    def engine_values(self) -> dict[str, Any]:
        """The fields of EngineConfig that were given."""
        return {name: getattr(self, name) for name in EngineConfig.model_fields if name in self.model_fields_set}

    def outputs(self) -> FleetOutputs:
        """The outputs of the nodes."""
        return FleetOutputs.model_validate({name: getattr(self, name) for name in FleetOutputs.model_fields})

    def sources(self) -> list[tuple[SourceSpec, dict[str, str]]]:
        """Each camera with its affinity. Raises UsageError for one that makes no sense."""
        specs = unique_names(camera.spec() for camera in self.camera)
        return [(spec, dict(camera.affinity)) for spec, camera in zip(specs, self.camera, strict=True)]


def load_fleet_settings(path: Path) -> FleetSettings:
    """Read the settings of a fleet from a TOML file. Raises UsageError, with the line of each mistake."""
    settings = load_model(path, FleetSettings, {"camera": CameraTable})
    try:
        settings.sources()
        check_of_use(settings, lambda name: name.replace("_", "-"))
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None
    return settings
