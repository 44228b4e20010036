"""The top: puts the four parts together, and the command line. The only place that may import them all."""
