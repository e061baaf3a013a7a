// OpenAI's own client for Node, as it is published, from the folder that the
// variable SDK names.
//
// Reads one task as JSON from standard input and writes what came of it as JSON
// to standard output: {do, base, key, client, arguments} in, {result or chunks or
// error} out. Times are seconds, and names those of the client for Python.

import { readFileSync, writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const sdk = pathToFileURL(`${process.env.SDK}/node_modules/openai/index.mjs`);
const { default: OpenAI, OpenAIError } = await import(sdk);

// Every chunk, and the error that ended the stream, if one did.
async function streamed(client, [body, options]) {
  const chunks = [];
  try {
    const stream = await client.chat.completions.create({ ...body, stream: true }, options);
    for await (const chunk of stream) chunks.push(chunk);
  } catch (error) {
    return { chunks, error: told(error) };
  }
  return { chunks };
}

// The completion that the client itself puts together from a stream.
async function gathered(client, [body, options]) {
  const stream = client.chat.completions.stream(body, options);
  return { result: await stream.finalChatCompletion() };
}

// Leaves a stream after its first text.
async function left(client, [body, options]) {
  const stream = await client.chat.completions.create({ ...body, stream: true }, options);
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta.content) {
      stream.controller.abort();
      return { result: chunk };
    }
  }
}

async function perform(task) {
  const { timeout, max_retries: maxRetries } = task.client;
  const client = new OpenAI({
    baseURL: task.base,
    apiKey: task.key,
    ...(timeout && { timeout: timeout * 1000 }),
    ...(maxRetries !== undefined && { maxRetries }),
  });
  const { extra_headers: headers, extra_body: more, ...body } = task.arguments;
  const asked = [{ ...body, ...more }, { headers }];
  switch (task.do) {
    case 'create': {
      const answer = await client.chat.completions.create(...asked);
      return { result: answer, request: answer._request_id };
    }
    case 'stream':
      return streamed(client, asked);
    case 'gather':
      return gathered(client, asked);
    case 'leave':
      return left(client, asked);
    case 'models': {
      const models = [];
      for await (const model of client.models.list()) models.push(model);
      return { result: models };
    }
    case 'model':
      return { result: await client.models.retrieve(body.model) };
  }
}

// An exception: its kind, and what it says.
function told(error) {
  if (!(error instanceof OpenAIError)) throw error;
  const { status, code, param, type, message } = error;
  return { kind: error.constructor.name, status, code, param, type, message };
}

let outcome;
try {
  outcome = await perform(JSON.parse(readFileSync(0, 'utf8')));
} catch (error) {
  outcome = { error: told(error) };
}
writeSync(1, JSON.stringify(outcome));
