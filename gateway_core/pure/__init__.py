"""The gateway in pure Python, over trio-websocket: the reference for behaviour and the baseline of benchmarks."""

from .gateway import PureGateway

__all__ = ["PureGateway"]
