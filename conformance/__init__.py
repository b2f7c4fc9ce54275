"""Flask 3.1.3's own tests, run against this package under the name `flask`."""
