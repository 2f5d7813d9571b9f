"""From measured iterations to the iteration time and the entry of a replica."""
