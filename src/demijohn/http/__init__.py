"""HTTP objects on Werkzeug: requests, responses, routing, sessions, files, templates and JSON."""
