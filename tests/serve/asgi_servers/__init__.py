"""What each server makes of the application over ASGI, and what becomes of faults under each."""
