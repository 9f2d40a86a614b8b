"""The HTTP API: one file a resource; errors become HTTP in `errors` only."""
