"""What an ASGI server loads: `uvicorn asgi:app.asgi_app`."""

from ticker import create_app

app = create_app()
