"""A client of `POST /chat` as the documentation of the system before Weir has it:
it posts a conversation and reads the answer line by line, as `requests`'
`iter_lines` gives it, and dispatches on the name of the event.

Only the standard library. Called with the address of the server and a JSON
object of questions; exits with 0 when everything was as that documentation says.
"""

import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

BASE = sys.argv[1].rstrip("/")
QUESTIONS = json.loads(sys.argv[2])
USER = "test_user"
PATIENCE = 30


def post(messages, **more):
    body = {"userId": USER, "messages": messages, **more}
    request = urllib.request.Request(
        BASE + "/chat", data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", "Accept": "text/event-stream"})
    return urllib.request.urlopen(request, timeout=PATIENCE)


def user(text):
    return {"role": "user", "content": text}


def events(response):
    """Name and data of each event."""
    assert response.status == 200
    assert response.headers["content-type"].split(";")[0] == "text/event-stream"
    name, data = None, []
    for line in response:
        line = line.decode().rstrip("\r\n")
        if line.startswith("event:"):
            name = line[len("event:"):].strip()
        elif line.startswith("data:"):
            data.append(line[len("data:"):].lstrip(" "))
        elif not line:
            if data:
                yield name or "message", json.loads("\n".join(data))
            name, data = None, []


def chat(messages, **more):
    """The session, the text and the end of an answer."""
    with post(messages, **more) as response:
        heard = list(events(response))
    (first, session), (last, end) = heard[0], heard[-1]
    assert first == "session" and last == "end", heard
    assert set(session) == {"sessionId", "turnId"}, session
    text = ""
    for name, data in heard[1:-1]:
        assert name == "message" and data["type"] == "text_chunk", (name, data)
        assert {key: data[key] for key in session} == session, data
        text += data["content"]
    assert {key: end[key] for key in session} == session, end
    return session["sessionId"], text, end


def a_new_session_is_made_and_goes_on():
    session, text, end = chat([user(QUESTIONS["stream"])])
    assert len(session) == 36 and text == QUESTIONS["streams"], (session, text)
    assert end["status"] == "completed" and "message" not in end, end
    again, text, end = chat([user(QUESTIONS["stream"])], sessionId=session)
    assert (again, text) == (session, QUESTIONS["streams"])
    other, _, _ = chat([user(QUESTIONS["stream"])], sessionId=None)
    assert other != session


def earlier_messages_and_unknown_fields_are_taken():
    history = [user("a"), {"role": "assistant", "content": "b"}, user(QUESTIONS["stream"])]
    session, text, end = chat(history, sessionId="会话", temperature=1, extra={"a": []})
    assert session == "会话" and text == QUESTIONS["streams"] and end["status"] == "completed"


def text_that_looks_like_events_is_text():
    _, text, end = chat([user(QUESTIONS["nasty"])])
    assert text == QUESTIONS["says"], text
    assert end["status"] == "completed"


def a_failure_is_an_end_with_its_reason():
    _, text, end = chat([user(QUESTIONS["failing"])])
    assert text == "" and end["status"] == "error" and end["message"], end


def a_stop_from_elsewhere_ends_the_answer():
    text, end = "", None
    with post([user(QUESTIONS["held"])], sessionId="held") as response:
        for name, data in events(response):
            if name == "message":
                text += data["content"]
                if text == QUESTIONS["holds"]:
                    stop = urllib.request.Request(
                        BASE + "/v1/sessions/held/cancel", method="POST",
                        data=json.dumps({"userId": USER}).encode(),
                        headers={"Content-Type": "application/json"})
                    assert urllib.request.urlopen(stop, timeout=PATIENCE).status == 202
            if name == "end":
                end = data
    assert text == QUESTIONS["holds"] and end["status"] == "cancelled", (text, end)


def what_is_no_conversation_is_refused():
    for messages in ([], [{"role": "assistant", "content": "x"}], "x", None):
        try:
            post(messages)
        except urllib.error.HTTPError as error:
            told = json.loads(error.read())
            assert error.code == 400 and told["status"] == 400 and told["detail"], told
        else:
            raise AssertionError(f"{messages} was not refused")


def a_reader_that_leaves_finds_the_whole_answer():
    """It keeps the session's id and looks at what was said when it is back."""
    host = urllib.parse.urlsplit(BASE).netloc
    connection = http.client.HTTPConnection(host, timeout=PATIENCE)
    body = json.dumps({"userId": USER, "sessionId": "left", "messages": [user(QUESTIONS["stream"])]})
    connection.request("POST", "/chat", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    assert response.readline().startswith(b"event: session")
    connection.close()
    path = f"/v1/sessions/left/events?userId={USER}&after=start"
    text = ""
    with urllib.request.urlopen(BASE + path, timeout=PATIENCE) as response:
        for name, data in events(response):
            if name == "text":
                text += data["text"]
            if name == "completed":
                break
    assert text == QUESTIONS["streams"], text


a_new_session_is_made_and_goes_on()
earlier_messages_and_unknown_fields_are_taken()
text_that_looks_like_events_is_text()
a_failure_is_an_end_with_its_reason()
a_stop_from_elsewhere_ends_the_answer()
what_is_no_conversation_is_refused()
a_reader_that_leaves_finds_the_whole_answer()
print("everything was as documented")
