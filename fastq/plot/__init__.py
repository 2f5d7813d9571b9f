"""Pictures: the boundary map, lines along one axis, and queues over time."""
