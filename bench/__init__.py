"""How fast the server is, against plain Strawberry and against a bare handler, side by side in one run."""
