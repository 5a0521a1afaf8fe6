// OpenAI's package for Node, whose accumulator throws at events that it doesn't know or that come in a wrong order.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.env.HEADRACE_URL}/v1`, apiKey: process.env.HEADRACE_API_KEY, maxRetries: 0 });
const WORDS = "water flows down the channel";
const weather = { type: "function", name: "get_weather", strict: false, parameters: { type: "object", properties: {} } };

const created = await client.responses.create({ model: "openai/text-5", input: "hi" });
assert.equal(created.output_text, WORDS);

const thought = await client.responses.stream({ model: "openai/reasoning", input: "why?" }).finalResponse();
assert.deepEqual(thought.output.map((item) => item.type), ["reasoning", "message"]);

const order = 'CALL get_weather {"city": "Hanoi"}';
const called = await client.responses.stream({ model: "openai/obedient", input: order, tools: [weather] }).finalResponse();
assert.equal(called.output[0].arguments, '{"city": "Hanoi"}');
const output = [{ type: "function_call_output", call_id: called.output[0].call_id, output: "rain" }];
const answered = await client.responses.create({ model: "openai/obedient", input: output, previous_response_id: called.id });
assert.equal(answered.output_text, "DONE");

const sum = 'CALL mathematics {"operation": "evaluate", "expression": "2+2"}';
const clerk = await client.responses.stream({ model: "agent/Clerk", input: sum }).finalResponse();
assert.ok(clerk.output.some((item) => item.type === "mcp_call"));

const events = [];
const running = await client.responses.create({ model: "openai/text-40-at-80", input: "hi", background: true, stream: true });
for await (const event of running) {
  events.push(event);
  if (events.length === 7) break;
}
const id = events[0].response.id;
const after = events.at(-1).sequence_number;
for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: after })) events.push(event);
assert.deepEqual(events.map((event) => event.sequence_number), events.map((_, place) => place));
assert.equal((await client.responses.stream({ response_id: id, starting_after: after }).finalResponse()).status, "completed");

const long = await client.responses.create({ model: "openai/text-900-at-30", input: "hi", background: true });
const watched = client.responses.stream({ response_id: long.id });
assert.equal((await client.responses.cancel(long.id)).status, "cancelled");
assert.equal((await watched.finalResponse()).status, "cancelled");
assert.equal((await client.responses.inputItems.list(id)).data.length, 1);
await client.responses.delete(id);
await assert.rejects(client.responses.retrieve(id), OpenAI.NotFoundError);

console.log("9 checks passed");
