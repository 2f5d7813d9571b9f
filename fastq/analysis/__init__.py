"""From the integers of replications to estimates, intervals and verdicts."""
