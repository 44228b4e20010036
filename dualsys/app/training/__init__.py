"""Joint training of planner and actor."""
