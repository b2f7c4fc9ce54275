"""A script without requests: `python offline.py NAME` adds a user and lists all of them."""

from __future__ import annotations

import sys

import demijohn

demijohn.install_as_flask()

from studio import create_app  # noqa: E402
from studio.models import User, db  # noqa: E402

with create_app().app_context():
    db.create_all()
    db.session.add(User(name=sys.argv[1]))
    db.session.commit()
    for user in User.query.order_by(User.id):
        print(user.id, user.name)
