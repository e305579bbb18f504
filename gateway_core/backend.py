"""Which implementation of `Gateway` is used."""

from __future__ import annotations

import importlib.util
from typing import Literal

from .config import GatewayConfig
from .errors import BackendUnavailable
from .gateway import Gateway


def open_gateway(config: GatewayConfig, backend: Literal["auto", "native", "pure"] = "auto") -> Gateway:
    """A gateway for `async with`; `Gateway.backend` tells which one "auto" chose: native if it is built.

    Raises: BackendUnavailable if "native" is asked for and not built.
    """
    if backend == "pure" or (backend == "auto" and not _is_native_built()):
        from .pure import PureGateway

        return PureGateway(config)
    if not _is_native_built():
        raise BackendUnavailable("gateway_core._native is not built; see CONTRIBUTING for how to build it")
    from .native import NativeGateway

    return NativeGateway(config)


def _is_native_built() -> bool:
    return importlib.util.find_spec("gateway_core._native") is not None
