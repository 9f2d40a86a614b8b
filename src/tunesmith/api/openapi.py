"""`python -m tunesmith.api.openapi`: writes the OpenAPI document, for generators of clients."""

import json
import sys

from tunesmith.api.app import create_app


def document() -> str:
    """Return the OpenAPI document as JSON, the same text for the same server."""
    return json.dumps(create_app(None).openapi(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(document())
