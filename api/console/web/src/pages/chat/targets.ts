/** Who can be asked, and about what: agents, models and collections, read once when the chat is opened. */

import { signal } from "@preact/signals";
import { api, need, type Schemas } from "../../api";
import { failed } from "../../parts/toasts";
import { may } from "../../session";

export const agents = signal<Schemas["CallableAgentOut"][]>([]);
export const chatModels = signal<string[]>([]);
export const collections = signal<string[]>([]);

export async function readTargets(): Promise<void> {
  const reads = [
    may("agents.read") && need(api.GET("/api/agents")).then(({ items }) => (agents.value = items)),
    may("models.read") &&
      need(api.GET("/api/models", { params: { query: { kind: "chat" } } })).then(
        ({ items }) => (chatModels.value = items.map((model) => model.name)),
      ),
    may("documents.read") &&
      need(api.GET("/api/collections", { params: { query: { limit: 100 } } })).then(
        ({ items }) => (collections.value = items.map((one) => one.name)),
      ),
  ];
  await Promise.all(reads).catch(failed);
}
