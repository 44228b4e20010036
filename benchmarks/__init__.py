"""One script a question: each prints a table and writes a JSON with the machine and the versions."""
