"""The ASGI edge: what it says to servers, and a checker of every message of it."""
