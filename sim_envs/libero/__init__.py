"""LIBERO's 130 tasks over the benchmark's own classes: a Panda on a table, told in words what to do."""
