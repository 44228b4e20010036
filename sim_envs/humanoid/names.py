"""Names of the suite's robots, known before anything is built."""

UPPER_BODY = "unitree-g1-upper"
"""Arms and hands; the rest of the body is held."""
WHOLE_BODY = "unitree-g1"
"""Every joint, the pelvis free."""
