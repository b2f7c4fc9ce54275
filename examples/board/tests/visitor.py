"""A visitor who uses the board through its pages and forms, as a browser would."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

from demijohn.testing import FlaskClient

from board.csrf import FIELD
from board.mailing import Courier

PASSWORD = "seven green bottles"
TOKEN = re.compile(rf'name="{FIELD}" value="([^"]+)"')


class Visitor:
    """A person with a browser: opens pages, fills forms in, keeps cookies, may become a member."""

    def __init__(self, client: FlaskClient, courier: Courier) -> None:
        self.client = client
        self.courier = courier

    def open(self, path: str, status: int = 200) -> str:
        """Return the page's HTML, entities resolved; it must have this status."""
        response = self.client.get(path)
        assert response.status_code == status, response.text
        return unescape(response.text)

    def token(self, page: str = "/account/log-in") -> str:
        """Return the form token that `page` carries."""
        found = TOKEN.search(self.client.get(page).text)
        assert found is not None, f"{page} has no form"
        return found[1]

    def send(self, path: str, form_on: str | None = None, **fields: str) -> Any:
        """Send the form that stands on `form_on` (or on `path`) and return the response."""
        token = self.token(form_on or path)
        return self.client.post(path, data={FIELD: token, **fields})

    def write(self, title: str = "Lost: one glove", body: str = "Left hand, grey.") -> str:
        """Write a post and return its path."""
        response = self.send("/posts/new", title=title, body=body)
        assert response.status_code == 302, response.text
        return str(response.location)

    def mails(self) -> str:
        """Return the mailbox page, once all mail has arrived."""
        self.courier.wait()
        return self.open("/mailbox/")

    def sign_up(self, name: str = "nadia", password: str = PASSWORD, query: str = "") -> Any:
        """Send the sign-up form."""
        return self.send(f"/account/sign-up{query}", name=name, password=password)

    def log_in(self, name: str = "nadia", password: str = PASSWORD, query: str = "") -> Any:
        """Send the log-in form."""
        return self.send(f"/account/log-in{query}", name=name, password=password)

    def log_out(self) -> Any:
        """Press the log-out button."""
        return self.send("/account/log-out", form_on="/")
