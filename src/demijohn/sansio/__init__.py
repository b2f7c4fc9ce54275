"""Flask's paths to the parts of an application that know no server."""
