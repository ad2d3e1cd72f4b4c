"""Zones as settings: in files, requests and programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator

from ferengine.errors import UsageError, describe_all
from ferengine.zones import MAX_POINTS, MAX_ZONES, Outside, Point, Region, ZoneKind, Zones, check_polygon

_MAX_NAME = 50


def _check_points(points: tuple[Point, ...]) -> tuple[Point, ...]:
    check_polygon(points)
    return points


class Zone(BaseModel):
    """A region of a camera's frame, which is watched or ignored.

    Args:
        name: What results call it.
        kind: "watch" or "ignore".
        points: The corners of a polygon that does not cross itself, each as fractions of the frame's width and height.

    Raises:
        UsageError: If a value is invalid. The message names the field and says what is accepted.

    Example:
        >>> Zone(name="poster", kind="ignore", points=((0, 0), (0.3, 0), (0.3, 0.4), (0, 0.4))).kind
        'ignore'
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=_MAX_NAME, description="Name of the zone in results.")
    kind: ZoneKind = Field(default="watch", description="Whether faces in it are to be named in results, or ignored.")
    points: Annotated[tuple[Point, ...], AfterValidator(_check_points)] = Field(
        min_length=3,
        max_length=MAX_POINTS,
        description="Corners of the zone as fractions of the frame's width and height, from its upper left corner. Its sides "
        "must not cross.",
        examples=[[[0, 0], [0.5, 0], [0.5, 1], [0, 1]]],
    )

    if not TYPE_CHECKING:  # where the fields are the parameters

        def __init__(self, /, **values: Any) -> None:
            try:
                super().__init__(**values)
            except ValidationError as error:
                raise UsageError(describe_all(error, type(self))) from None

        __init__.__pydantic_base_init__ = True  # within a source pydantic makes zones itself, and names their place

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        if not name.isprintable() or name != name.strip() or ";" in name:
            raise ValueError(f"the name of a zone has no semicolons, control characters or blanks around it, unlike {name!r}")
        return name


class ZoneOptions(BaseModel):
    """The zones of a source."""

    zones: tuple[Zone, ...] = Field(
        (),
        max_length=MAX_ZONES,
        description="Regions of the frame to watch or to ignore. A face is where the centre of its box is. Those in an ignored "
        "zone are not tracked, read or reported; the others name the watched zones that they are in.",
        examples=[[{"name": "poster", "kind": "ignore", "points": [[0, 0], [0.3, 0], [0.3, 0.4], [0, 0.4]]}]],
    )
    outside_zones: Outside = Field(
        "deliver", description="Where zones are watched, report faces that are in none of them, or ignore them."
    )

    @field_validator("zones")
    @classmethod
    def _check_names(cls, zones: tuple[Zone, ...]) -> tuple[Zone, ...]:
        names = [zone.name for zone in zones]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two zones are called {twice!r}")
        return zones

    def compiled_zones(self, version: int) -> Zones:
        """The zones as the track worker takes them."""
        regions = tuple(Region(zone.name, zone.kind, zone.points) for zone in self.zones)
        return Zones(version, regions, self.outside_zones)
