"""Implementations of the ports: `embedded` for one process, others for a cluster."""
