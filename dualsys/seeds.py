"""Seeds that are kept apart: what is learned from must not be what is measured on."""

TRAINING_SEEDS = 8000
"""Seeds below are for training, from here on for evaluations: 8000 to 9999 for development, 10000 and above for
claims."""
