"""What applications use to test themselves: the client and the command-line runner."""
