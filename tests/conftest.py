"""What every test process needs before the first framework is imported."""

import os

# Rule of the house: torch on a CPU runs one thread per process, and llvmpipe as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("LP_NUM_THREADS", "1")
# No model hub is ever asked for anything; a test that tries fails at once instead of waiting for a network.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("MPLBACKEND", "Agg")
