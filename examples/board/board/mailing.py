"""Mail in the background. Instead of leaving the machine it lands in the addressee's mailbox.

A mail is delivered by a thread of its own, so that nobody waits for it. The thread gets the app
itself (the proxy `current_app` means nothing there) and pushes a context of its own, which gives
it its own database connection.
"""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import dataclass

from demijohn import Demijohn, current_app

from .database import get_db


@dataclass(frozen=True)
class Mail:
    """A mail to one member. `link` is a path on this board, made where the request is."""

    to_id: int
    subject: str
    body: str
    link: str


class Courier:
    """Delivers mails and knows which are under way. One an app, in `app.extensions["courier"]`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: list[threading.Thread] = []

    def send(self, mail: Mail) -> None:
        """Start the delivery and return at once."""
        app = current_app._get_current_object()  # type: ignore[attr-defined]
        # Not a daemon thread: a server that stops lets its last mails arrive.
        thread = threading.Thread(target=deliver, args=(app, mail), name=f"mail to {mail.to_id}")
        with self._lock:
            self._under_way = [other for other in self._under_way if other.is_alive()]
            thread.start()
            self._under_way.append(thread)

    def wait(self, timeout: float = 10.0) -> None:
        """Return when every mail sent so far has arrived; each may take `timeout` seconds.

        Raises TimeoutError for one that takes longer.
        """
        with self._lock:
            threads = list(self._under_way)
        for thread in threads:
            thread.join(timeout)
            if thread.is_alive():
                raise TimeoutError(f"{thread.name} is still under way after {timeout} s")


def deliver(app: Demijohn, mail: Mail) -> None:
    """Put `mail` into the mailbox; runs in a thread of its own. A failure goes to the app's log."""
    with app.app_context():
        try:
            with get_db() as db:
                db.execute(
                    "INSERT INTO mail (to_id, subject, body, link) VALUES (?, ?, ?, ?)",
                    (mail.to_id, mail.subject, mail.body, mail.link),
                )
        except sqlite3.Error:
            app.logger.exception("A mail to member %s was lost: %s", mail.to_id, mail.subject)


def send_mail(mail: Mail) -> None:
    """Send `mail` in the background, through the current app's courier."""
    courier: Courier = current_app.extensions["courier"]
    courier.send(mail)


def init_app(app: Demijohn) -> None:
    """Give the app its courier."""
    app.extensions["courier"] = Courier()
