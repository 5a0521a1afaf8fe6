// Anthropic's package for Node, whose accumulator throws at events that it doesn't know or that come in a wrong order.
import assert from "node:assert/strict";
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: process.env.HEADRACE_URL, apiKey: process.env.HEADRACE_API_KEY, maxRetries: 0 });
const WORDS = "water flows down the channel";
const weather = { name: "get_weather", input_schema: { type: "object", properties: { city: { type: "string" } } } };
const ask = (model, content, more = {}) => ({ model, max_tokens: 3000, messages: [{ role: "user", content }], ...more });

const created = await client.messages.create(ask("openai/text-5", "hi", { system: "Be brief." }));
assert.deepEqual([created.content[0].text, created.stop_reason, created.usage.output_tokens], [WORDS, "end_turn", 5]);
assert.equal(await client.messages.stream(ask("openai/text-5", "hi")).finalText(), WORDS);

const thought = await client.messages.stream(ask("openai/reasoning", "why?")).finalMessage();
assert.deepEqual(thought.content.map((block) => block.type), ["thinking", "text"]);
assert.ok(thought.content[0].signature);

const inputs = [];
const request = ask("openai/obedient", 'CALL get_weather {"city": "Hanoi"}', { tools: [weather] });
const called = await client.messages.stream(request).on("inputJson", (_, input) => inputs.push(input)).finalMessage();
assert.deepEqual([called.stop_reason, called.content[0].input, inputs.at(-1)], ["tool_use", { city: "Hanoi" }, { city: "Hanoi" }]);
const result = { type: "tool_result", tool_use_id: called.content[0].id, content: [{ type: "text", text: "rain" }] };
const turns = [...request.messages, { role: "assistant", content: called.content }, { role: "user", content: [result] }];
assert.equal((await client.messages.create({ ...request, messages: turns })).content[0].text, "DONE");

const sum = 'CALL mathematics {"operation": "evaluate", "expression": "2+2"}';
const clerk = await client.messages.stream(ask("agent/Clerk", sum)).finalMessage();
assert.deepEqual([clerk.content.at(-1).text, clerk.stop_reason], ["DONE", "end_turn"]);

const counted = await client.messages.countTokens({ model: "openai/text-5", messages: request.messages });
assert.ok(counted.input_tokens > 3);
const names = [];
for await (const model of client.models.list({ limit: 2 })) names.push(model.id);
assert.ok(names.includes("agent/Clerk") && new Set(names).size === names.length);

await assert.rejects(client.messages.create(ask("openai/nobody", "hi")), Anthropic.NotFoundError);
await assert.rejects(client.messages.stream(ask("openai/nobody", "hi")).finalMessage(), Anthropic.NotFoundError);

const long = client.messages.stream(ask("openai/text-900-at-30", "hi"));
await assert.rejects(async () => {
  for await (const event of long) if (event.type === "content_block_delta") long.abort();
  await long.done();
}, Anthropic.APIUserAbortError);

console.log("10 checks passed");
