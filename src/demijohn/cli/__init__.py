"""The `demijohn` command: finding the application and running its commands."""
