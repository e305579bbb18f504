"""`GatewayConfig` refuses what makes no sense, and says which field it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from gateway_core import GatewayConfig, UsageError

NUMBERS = [
    field.name
    for field in dataclasses.fields(GatewayConfig)
    if isinstance(field.default, int | float) and not isinstance(field.default, bool)
]


def test_the_defaults_are_valid() -> None:
    assert GatewayConfig().port == 0


@pytest.mark.parametrize("name", [name for name in NUMBERS if name != "port"])
@pytest.mark.parametrize("value", [0, -1, -0.5])
def test_a_number_that_is_not_positive_is_refused_by_name(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}
    with pytest.raises(UsageError, match=name):
        GatewayConfig(**settings)


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_out_of_range_is_refused(port: int) -> None:
    with pytest.raises(UsageError, match="port"):
        GatewayConfig(port=port)


@pytest.mark.parametrize("port", [0, 1, 65_535])
def test_ports_at_the_ends_of_the_range_are_valid(port: int) -> None:
    assert GatewayConfig(port=port).port == port


def test_the_soft_limit_must_not_exceed_the_hard_one() -> None:
    with pytest.raises(UsageError, match="soft_outbox_bytes"):
        GatewayConfig(soft_outbox_bytes=2, max_outbox_bytes=1)
    assert GatewayConfig(soft_outbox_bytes=1, max_outbox_bytes=1).max_outbox_bytes == 1


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GatewayConfig().port = 1  # type: ignore[misc]


def test_every_field_says_what_bounds_it() -> None:
    """Units are in the names: seconds, bytes, per second, or a count."""
    plain = {"host", "port", "reactors", "backlog", "compression", "share_port"}
    counts = {"message_burst", "max_inflate_ratio"}
    for field in dataclasses.fields(GatewayConfig):
        name = field.name
        unit = name.endswith(("_seconds", "_bytes", "_per_second", "bytes_burst")) or name.startswith("max_")
        assert unit or name in plain | counts, name
