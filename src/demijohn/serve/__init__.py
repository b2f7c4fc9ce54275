"""The edges: what turns a server's call into a request and ends it."""
