"""Checkpoints of other projects: what their weights are called, and what they become here."""
