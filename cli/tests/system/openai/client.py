"""OpenAI's own client for Python, as it is published.

Reads one task as JSON from standard input and writes what came of it as JSON to
standard output: {"do", "base", "key", "client", "arguments"} in,
{"result" or "chunks" or "error"} out.
"""

import json
import sys

import openai


def streamed(client, arguments):
    """Every chunk, and the error that ended the stream, if one did."""
    chunks = []
    try:
        for chunk in client.chat.completions.create(stream=True, **arguments):
            chunks.append(chunk.model_dump(mode="json"))
    except openai.OpenAIError as error:
        return {"chunks": chunks, "error": told(error)}
    return {"chunks": chunks}


def gathered(client, arguments):
    """The completion that the client itself puts together from a stream."""
    with client.chat.completions.stream(**arguments) as stream:
        for _ in stream:
            pass
        return {"result": stream.get_final_completion().model_dump(mode="json")}


def left(client, arguments):
    """Leaves a stream after its first text."""
    stream = client.chat.completions.create(stream=True, **arguments)
    for chunk in stream:
        if chunk.choices and chunk.choices[0].delta.content:
            stream.close()
            return {"result": chunk.model_dump(mode="json")}


def perform(task):
    client = openai.OpenAI(base_url=task["base"], api_key=task["key"], **task["client"])
    arguments = task["arguments"]
    match task["do"]:
        case "create":
            answer = client.chat.completions.create(**arguments)
            return {"result": answer.model_dump(mode="json"), "request": answer._request_id}
        case "stream":
            return streamed(client, arguments)
        case "gather":
            return gathered(client, arguments)
        case "leave":
            return left(client, arguments)
        case "models":
            return {"result": [it.model_dump(mode="json") for it in client.models.list()]}
        case "model":
            return {"result": client.models.retrieve(**arguments).model_dump(mode="json")}


def told(error):
    """An exception: its kind, and what it says."""
    fields = ["status_code", "code", "param", "type", "message"]
    values = {name: getattr(error, name, None) for name in fields}
    values["status"] = values.pop("status_code")
    return {"kind": type(error).__name__, **values}


try:
    outcome = perform(json.load(sys.stdin))
except openai.OpenAIError as error:
    outcome = {"error": told(error)}
json.dump(outcome, sys.stdout)
