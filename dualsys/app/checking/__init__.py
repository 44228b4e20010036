"""Trying every task: what is looked at, and the processes that look."""
