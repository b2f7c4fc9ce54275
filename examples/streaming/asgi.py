"""What a server loads: `uvicorn asgi:app.asgi_app`, or `gunicorn asgi:app` for WSGI."""

from depot import create_app

app = create_app()
