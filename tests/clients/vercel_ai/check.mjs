// Vercel's AI SDK with @ai-sdk/openai, whose default is the Responses API: it refers to earlier items by their ids.
import assert from "node:assert/strict";
import { createOpenAI } from "@ai-sdk/openai";
import { generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const openai = createOpenAI({ baseURL: `${process.env.HEADRACE_URL}/v1`, apiKey: process.env.HEADRACE_API_KEY });
const WORDS = "water flows down the channel";
const asked = [];
const tools = {
  get_weather: tool({
    description: "Return the weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => (asked.push(city), "rain"),
  }),
};
const call = { prompt: 'CALL get_weather {"city": "Hanoi"}', tools, stopWhen: stepCountIs(3), maxRetries: 0 };

const plain = await generateText({ model: openai("openai/text-5"), prompt: "hi", maxRetries: 0 });
assert.equal(plain.text, WORDS);
assert.equal(plain.usage.outputTokens, 5);

const looped = await generateText({ model: openai("openai/obedient"), ...call });
assert.equal(looped.text, "DONE");
assert.deepEqual(asked, ["Hanoi"]);

const streamed = streamText({ model: openai("openai/obedient"), ...call });
let text = "";
for await (const part of streamed.fullStream) {
  assert.notEqual(part.type, "error", JSON.stringify(part.error?.message));
  if (part.type === "text-delta") text += part.text;
}
assert.equal(text, "DONE");

const thinking = await generateText({ model: openai("openai/reasoning"), prompt: "why?", maxRetries: 0 });
assert.equal(thinking.reasoningText, WORDS);

const history = [{ role: "user", content: "why?" }, ...thinking.response.messages, { role: "user", content: "and?" }];
for (const store of [true, false]) {
  const options = { providerOptions: { openai: { store, include: ["reasoning.encrypted_content"] } }, maxRetries: 0 };
  const first = await generateText({ model: openai("openai/reasoning"), prompt: "why?", ...options });
  const messages = [{ role: "user", content: "why?" }, ...first.response.messages, { role: "user", content: "and?" }];
  assert.equal((await generateText({ model: openai("openai/text-5"), messages, ...options })).text, WORDS);
}
assert.equal((await generateText({ model: openai("openai/text-5"), messages: history, maxRetries: 0 })).text, WORDS);

const prompt = 'CALL mathematics {"operation": "evaluate", "expression": "2+2"}';
const clerk = await generateText({ model: openai("agent/Clerk"), prompt, maxRetries: 0 });
assert.equal(clerk.text, "DONE");
const next = [{ role: "user", content: prompt }, ...clerk.response.messages, { role: "user", content: "thanks" }];
assert.equal((await generateText({ model: openai("openai/text-5"), messages: next, maxRetries: 0 })).text, WORDS);

console.log("8 checks passed");
