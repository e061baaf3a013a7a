"""What a client that reads every answer to its end must not open: the events of
a session have no end. Such a request names nobody here, and is refused; that
the events come is what other tests are about."""

import schemathesis

EVENTS = "/v1/sessions/{session}/events"


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.operation.path == EVENTS:
        case.query = {**(case.query or {}), "userId": ""}
