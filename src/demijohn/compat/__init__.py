"""Standing in for Flask: `import flask` resolved to this package."""
