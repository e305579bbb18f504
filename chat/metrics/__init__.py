"""What a node measures of itself, for Prometheus and for its operators.

Components keep plain counters and histograms (`meters`); nothing is collected, named or formatted until somebody asks
(`exposition`, `figures`). There is no global registry: several nodes may live in one process.
"""
