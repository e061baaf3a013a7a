"""A client of `/agent/*` as the documentation of the system before Weir has it:
it posts JSON, takes 200 for success and everything else for an error, reads
`result["messages"][-1]["content"]`, and streams line by line.

Only the standard library. Called with the address of the server and a JSON
object of questions; exits with 0 when everything was as that documentation says.
"""

import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BASE = sys.argv[1].rstrip("/")
QUESTIONS = json.loads(sys.argv[2])
USER = "用户.1"
PATIENCE = 30


class ApiError(Exception):
    """An answer other than 200, with what it says."""

    def __init__(self, status, body):
        super().__init__(f"{status} - {body}")
        self.status = status
        self.body = json.loads(body)


def call(method, path, payload=None):
    data = None if payload is None else json.dumps(payload).encode()
    headers = {"Content-Type": "application/json"} if data else {}
    request = urllib.request.Request(BASE + path, data=data, headers=headers, method=method)
    try:
        return urllib.request.urlopen(request, timeout=PATIENCE)
    except urllib.error.HTTPError as error:
        raise ApiError(error.code, error.read().decode()) from error


def answer(method, path, payload=None):
    with call(method, path, payload) as response:
        assert response.status == 200, response.status
        return json.loads(response.read())


def frames(path, payload):
    """The frames of a stream, as `requests`' `iter_lines` would give them."""
    with call("POST", path, payload) as response:
        assert response.headers["content-type"] == "text/event-stream"
        for line in response:
            line = line.decode().rstrip("\n")
            if line.startswith("data: "):
                yield json.loads(line[len("data: "):])


def asked(session, query):
    return {"user_id": USER, "session_id": session, "query": query,
            "system_message": "You use tools to help the user."}


def decided(session, response_type, args=None):
    return {"user_id": USER, "session_id": session, "response_type": response_type, "args": args}


def quoted(text):
    return urllib.parse.quote(text, safe="")


def status(session):
    return answer("GET", f"/agent/status/{quoted(USER)}/{quoted(session)}")


def final(response):
    """What the client shows of a completed answer."""
    assert response["status"] == "completed", response
    assert abs(time.time() - response["timestamp"]) < 600, response
    return response["result"]["messages"][-1]["content"]


def shown(interrupt_data):
    """What the client shows of a call that waits, as it goes on with it."""
    request = interrupt_data["action_request"]
    assert request["action"] == "t__count" and request["args"]["by"] == 1, interrupt_data
    assert interrupt_data["interrupt_type"] and interrupt_data["description"]
    allowed = interrupt_data["config"]
    assert allowed["allow_accept"] and allowed["allow_edit"] and allowed["allow_respond"]


def until(look, wanted):
    """Waits for a state, as the client does that polls."""
    deadline = time.monotonic() + PATIENCE
    while True:
        seen = look()
        if wanted(seen):
            return seen
        assert time.monotonic() < deadline, seen
        time.sleep(0.05)


def first_visit():
    assert status("plain")["status"] == "not_found"
    assert answer("GET", f"/agent/active/sessionid/{quoted(USER)}") == {"active_session_id": ""}
    assert answer("GET", f"/agent/sessionids/{quoted(USER)}") == {"session_ids": []}
    written = answer("POST", "/agent/write/longterm",
                     {"user_id": USER, "memory_info": "Likes green tea."})
    assert written["success"] and written["user_id"] == USER and written["message"]


def plain():
    response = answer("POST", "/agent/invoke", asked("plain", QUESTIONS["plain"]))
    assert response["session_id"] == "plain"
    assert final(response) == QUESTIONS["says"], response
    done = status("plain")
    assert done["status"] == "completed" and done["last_query"] == QUESTIONS["plain"]
    assert final(done["last_response"]) == QUESTIONS["says"]
    assert abs(time.time() - done["last_updated"]) < 600


def streamed():
    text, last = "", None
    for frame in frames("/agent/invoke/stream", asked("stream", QUESTIONS["stream"])):
        assert frame["session_id"] == "stream" and isinstance(frame["timestamp"], float)
        if frame["type"] == "text_chunk":
            text += frame["content"]
        last = frame
    assert last["type"] == "completed", last
    assert text == QUESTIONS["streams"] == last["data"]["content"], text
    assert last["data"]["messages"][-1]["content"].strip() == text.strip()


def reviewed(way, args, hears):
    """Asks for a call, is interrupted, comes back, and decides in one way."""
    response = answer("POST", "/agent/invoke", asked(way, QUESTIONS["count"]))
    assert response["status"] == "interrupted", response
    shown(response["interrupt_data"])
    restored = status(way)
    assert restored["status"] == "interrupted", restored
    shown(restored["last_response"]["interrupt_data"])
    said = final(answer("POST", "/agent/resume", decided(way, way, args)))
    assert hears in said, said
    assert until(lambda: status(way), lambda it: it["status"] != "running")["status"] == "completed"


def reviewed_as_a_stream():
    kinds = []
    for frame in frames("/agent/invoke/stream", asked("both", QUESTIONS["count"])):
        kinds.append(frame["type"])
        if frame["type"] == "tool_call":
            assert frame["data"]["tool_calls"][0]["name"] == "t__count"
        if frame["type"] == "interrupt":
            shown(frame["interrupt_data"])
    assert kinds[-1] == "interrupt" and "tool_call" in kinds, kinds
    resumed = list(frames("/agent/resume/stream", decided("both", "accept")))
    assert resumed[-1]["type"] == "completed", resumed
    text = "".join(it["content"] for it in resumed if it["type"] == "text_chunk")
    assert "the counter is 121" in text, text
    assert text == resumed[-1]["data"]["content"]


def refused():
    for method, path, payload, code in [
        ("POST", "/agent/resume", decided("plain", "accept"), 404),
        ("POST", "/agent/resume", decided("plain", "maybe"), 400),
        ("POST", "/agent/invoke", {"user_id": USER, "session_id": "plain"}, 400),
        ("DELETE", "/agent/session/nobody/plain", None, 404),
    ]:
        try:
            answer(method, path, payload)
        except ApiError as error:
            assert error.status == code, error
            assert error.body["success"] is False and error.body["detail"], error
            assert error.body["message"] == error.body["detail"], error
        else:
            raise AssertionError(f"{method} {path} was not refused")


def listed_and_deleted():
    sessions = {"plain", "stream", "accept", "edit", "reject", "response", "both"}
    path = f"/agent/sessionids/{quoted(USER)}"
    until(lambda: answer("GET", path)["session_ids"], lambda it: set(it) == sessions)
    active = f"/agent/active/sessionid/{quoted(USER)}"
    until(lambda: answer("GET", active)["active_session_id"], lambda it: it == "both")
    for session in sorted(sessions):
        deleted = answer("DELETE", f"/agent/session/{quoted(USER)}/{session}")
        assert deleted["success"] and deleted["removed"]["entries"] > 0, deleted
        assert status(session)["status"] == "not_found"
    assert answer("GET", path) == {"session_ids": []}
    assert answer("GET", active) == {"active_session_id": ""}


first_visit()
plain()
streamed()
reviewed("accept", None, "the counter is 1")
reviewed("edit", {"args": {"by": 20}}, "the counter is 21")
reviewed("reject", None, "rejected this call")
reviewed("response", {"args": "forty-two"}, "forty-two")
answer("POST", "/agent/invoke", asked("both", QUESTIONS["more"]))
answer("POST", "/agent/resume", decided("both", "edit", {"args": {"by": 99}}))
reviewed_as_a_stream()
refused()
listed_and_deleted()
print("everything was as documented")
