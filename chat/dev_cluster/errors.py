"""Why there is no cluster, or none any more."""


class ClusterFailed(Exception):
    """A part could not be started, or has ended: one line that names it, then the end of its log."""


class ProgramMissing(ClusterFailed):
    """A program is not installed; the text names its package."""


class NotWanted(Exception):
    """Whoever starts the cluster does not want it any more."""
