"""Two ViperX arms at a table: handing a cube over, and putting a peg into a socket (extra `aloha`)."""
