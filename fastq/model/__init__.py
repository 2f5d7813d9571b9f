"""Pure, validated data: workloads, replicas, schedulers, grids, and the specs that hold them."""
