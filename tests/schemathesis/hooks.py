"""What schemathesis must know about the service beyond its description."""

import json
import os

import schemathesis

OWN_KEY = os.environ["POSTHASTE_OWN_KEY"]


@schemathesis.serializer("application/x-ndjson")
def ndjson(ctx, value):
    """The description calls an upload a string: here it becomes an order with that text, and a recipient."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        recipient = {"contacts": {"email": ["a@example.org"]}}
        value = [{"sender": {"id": "u1"}, "text": value}, recipient]
    documents = value if isinstance(value, list) else [value]
    return "\n".join(json.dumps(document) for document in documents).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    """The key in use is listed like others; if it were revoked, everything after that would be 401."""
    if (case.path_parameters or {}).get("id") == OWN_KEY:
        case.path_parameters["id"] = "abcdefghij01"
