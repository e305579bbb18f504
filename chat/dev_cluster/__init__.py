"""A whole cluster of private processes on this machine: Redis Cluster, MySQL shards with replicas, nodes.

For trying out, measuring and breaking things; nothing in it is meant to last or to be reached from elsewhere.
"""

from .cluster import DevCluster, dev_cluster
from .errors import ClusterFailed, NotWanted, ProgramMissing

__all__ = ["ClusterFailed", "DevCluster", "NotWanted", "ProgramMissing", "dev_cluster"]
