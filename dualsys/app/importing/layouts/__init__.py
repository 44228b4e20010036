"""One file a published layout: rules from its names to ours, as plain data."""
