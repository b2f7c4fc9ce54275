"""For a worker: `celery -A make_celery worker`."""

from wsgi import app as flask_app

celery_app = flask_app.extensions["celery"]
