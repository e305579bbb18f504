"""The use cases: who may do what, in which order, and what the fleet is told."""
