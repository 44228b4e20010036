"""Pages of one HTML file each that needs nothing else: no network, no other file."""
