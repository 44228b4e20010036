"""Meta-World: 50 tasks of a Sawyer arm at a table."""
