"""For a server: `demijohn --app wsgi run`. The first two lines of code move the application."""

import demijohn

demijohn.install_as_flask()

from studio import create_app  # noqa: E402

app = create_app()
