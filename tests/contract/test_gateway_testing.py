"""`gateway_core.testing` passes for our backends, and fails for one that breaks the contract."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_core import open_gateway
from gateway_core.gateway import Payload
from gateway_core.pure import PureGateway
from gateway_core.testing import check_gateway
from tests.support.gateways import Backend


async def test_check_gateway_passes_for_our_backends(backend: Backend) -> None:
    await check_gateway(lambda config: open_gateway(config, backend))


class Forgetful(PureGateway):
    """Ignores exclusion."""

    def publish(self, topic: str, variants: Any, *, position: int | None = None, exclude: Any = ()) -> None:
        super().publish(topic, variants, position=position)


class Shouting(PureGateway):
    """Changes what it sends."""

    def send(self, connection: Any, payload: Payload) -> bool:
        return super().send(connection, payload.upper())


@pytest.mark.parametrize("broken", [Forgetful, Shouting])
async def test_check_gateway_finds_what_is_broken(broken: type[PureGateway]) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(AssertionError, match="the contract does not hold"), flatten_subgroups=True
    ):
        await check_gateway(broken)
