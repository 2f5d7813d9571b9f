"""A spec that runs in a moment, as text; its grid is each test's own."""

SMALL = """\
[workload]
prompt_tokens = { uniform = [10, 100] }
output_tokens = { uniform = [10, 100] }

[replica]
kv_capacity_tokens = 2000

[iteration_time]
constant = "20 ms"

[run]
requests = 200
replications = 2
warmup_requests = 100

"""
