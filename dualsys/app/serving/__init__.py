"""A controller served to other programs, as openpi or GR00T serve theirs: an observation in, a chunk out."""
