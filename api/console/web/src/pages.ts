/** The pages of the console: their names, the rights that they need, and how each is loaded. */

import { lazy } from "preact-iso";
import type { Words } from "./words";

export type PageName = Exclude<keyof Words["nav"], "label" | "groups">;
export type Page = { name: PageName; right: string; component: any; detail?: { path: string; component: any } };
export type Group = { name: keyof Words["nav"]["groups"]; pages: Page[] };

const page = (name: PageName, right: string, load: () => Promise<any>, path = "", loadDetail?: () => Promise<any>): Page => ({
  name,
  right,
  component: lazy(load),
  ...(loadDetail ? { detail: { path, component: lazy(loadDetail) } } : {}),
});

export const GROUPS: Group[] = [
  {
    name: "work",
    pages: [
      page("chat", "chat", () => import("./pages/chat/page")),
      page("documents", "documents.read", () => import("./pages/documents/page"), ":document", () => import("./pages/documents/document")),
      page("jobs", "jobs.read", () => import("./pages/jobs/page"), ":job", () => import("./pages/jobs/job")),
      page("schedules", "schedules.read", () => import("./pages/schedules/page"), ":schedule", () => import("./pages/schedules/schedule")),
      page("benchmarks", "benchmarks.read", () => import("./pages/benchmarks/page"), ":benchmark", () => import("./pages/benchmarks/benchmark")),
    ],
  },
  {
    name: "make",
    pages: [
      page("agents", "agents.manage", () => import("./pages/agents/page"), ":agent", () => import("./pages/agents/agent")),
      page("tools", "tools.manage", () => import("./pages/settings/tools")),
      page("pipelines", "pipelines.read", () => import("./pages/pipelines/page"), ":pipeline", () => import("./pages/pipelines/pipeline")),
      page("triggers", "triggers.manage", () => import("./pages/settings/triggers")),
      page("webhooks", "webhooks.manage", () => import("./pages/settings/webhooks")),
      page("widgets", "keys.manage", () => import("./pages/settings/widgets")),
      page("sources", "data_sources.manage", () => import("./pages/settings/sources")),
    ],
  },
  {
    name: "watch",
    pages: [
      page("performance", "usage.read", () => import("./pages/numbers/performance")),
      page("usage", "usage.read", () => import("./pages/numbers/usage")),
      page("audit", "audit.read", () => import("./pages/numbers/audit")),
      page("health", "self", () => import("./pages/settings/health")),
    ],
  },
  {
    name: "manage",
    pages: [
      page("people", "users.read", () => import("./pages/settings/people")),
      page("keys", "keys.own", () => import("./pages/settings/keys")),
      page("providers", "credentials.read", () => import("./pages/settings/providers")),
      page("signin", "sign_in.manage", () => import("./pages/settings/sign-in-providers")),
      page("assistant", "configuration.manage", () => import("./pages/settings/assistant")),
      page("models", "models.manage", () => import("./pages/settings/models")),
      page("certificates", "certificates.manage", () => import("./pages/settings/certificates")),
      page("tenants", "tenants.manage", () => import("./pages/settings/tenants")),
    ],
  },
];

export const PAGES: Page[] = GROUPS.flatMap((group) => group.pages);
