"""gymnasium-robotics' Fetch: four tasks of an arm at a table."""
