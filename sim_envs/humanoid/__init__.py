"""The humanoid suite: a Unitree G1 with hands at a table."""
