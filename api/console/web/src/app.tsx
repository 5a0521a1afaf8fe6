/** The frame around every page: who is signed in, the pages beside it, and what stands over them. */

import { signal } from "@preact/signals";
import { lazy, LocationProvider, Route, Router, useLocation } from "preact-iso";
import { useEffect } from "preact/hooks";
import { ROOT, to } from "./address";
import { signedOut } from "./api";
import { AccountMenu } from "./parts/account";
import { Empty, IconButton } from "./parts/basics";
import { Confirmation, Dialog } from "./parts/dialog";
import { Toasts } from "./parts/toasts";
import { caller, may } from "./session";
import { SignIn } from "./pages/sign-in";
import { words, type Words } from "./words";

/** What went wrong before anybody was signed in, such as a one-time link that is over. */
export const beginning = signal<unknown>(undefined);
const menuOpen = signal(false);

type Page = { name: keyof Words["nav"]; right: string };
export const PAGES: Page[] = [
  { name: "chat", right: "chat" },
  { name: "jobs", right: "jobs.read" },
  { name: "documents", right: "documents.read" },
  { name: "agents", right: "agents.manage" },
  { name: "tools", right: "tools.manage" },
  { name: "webhooks", right: "webhooks.manage" },
  { name: "usage", right: "usage.read" },
  { name: "keys", right: "keys.own" },
  { name: "people", right: "users.read" },
  { name: "health", right: "self" },
];

const ChatPage = lazy(() => import("./pages/chat/page"));
const JobsPage = lazy(() => import("./pages/jobs/page"));
const JobPage = lazy(() => import("./pages/jobs/job"));
const DocumentsPage = lazy(() => import("./pages/documents/page"));
const DocumentPage = lazy(() => import("./pages/documents/document"));
const AgentsPage = lazy(() => import("./pages/settings/agents"));
const ToolsPage = lazy(() => import("./pages/settings/tools"));
const WebhooksPage = lazy(() => import("./pages/settings/webhooks"));
const UsagePage = lazy(() => import("./pages/settings/usage"));
const KeysPage = lazy(() => import("./pages/settings/keys"));
const PeoplePage = lazy(() => import("./pages/settings/people"));
const HealthPage = lazy(() => import("./pages/settings/health"));

export function App() {
  if (caller.value === undefined) return null;
  if (caller.value === null) return <SignIn problem={beginning.value} />;
  return (
    <LocationProvider>
      <Frame />
      {signedOut.value && <SignInAgain />}
      <Confirmation />
      <Toasts />
    </LocationProvider>
  );
}

function Frame() {
  const { path } = useLocation();
  useEffect(() => {
    menuOpen.value = false;
  }, [path]);
  return (
    <div class={menuOpen.value ? "frame menu-open" : "frame"}>
      <a class="skip" href="#content" onClick={focusContent}>
        {words.value.skip}
      </a>
      <Navigation path={path} />
      <main id="content" tabIndex={-1}>
        <Router>
          <Route path={ROOT} component={ChatPage} />
          <Route path={`${ROOT}chat/:session?`} component={ChatPage} />
          <Route path={`${ROOT}jobs`} component={JobsPage} />
          <Route path={`${ROOT}jobs/:job`} component={JobPage} />
          <Route path={`${ROOT}documents`} component={DocumentsPage} />
          <Route path={`${ROOT}documents/:document`} component={DocumentPage} />
          <Route path={`${ROOT}agents`} component={AgentsPage} />
          <Route path={`${ROOT}tools`} component={ToolsPage} />
          <Route path={`${ROOT}webhooks`} component={WebhooksPage} />
          <Route path={`${ROOT}usage`} component={UsagePage} />
          <Route path={`${ROOT}keys`} component={KeysPage} />
          <Route path={`${ROOT}people`} component={PeoplePage} />
          <Route path={`${ROOT}health`} component={HealthPage} />
          <Route default component={NotFound} />
        </Router>
      </main>
    </div>
  );
}

function Navigation({ path }: { path: string }) {
  const w = words.value;
  const here = path.slice(ROOT.length).split("/")[0] || "chat";
  return (
    <header class="side">
      <div class="side-head">
        <a class="brand" href={to("chat")}>
          <img src="icon.svg" alt="" width="28" height="28" /> headrace
        </a>
        <IconButton
          icon="menu"
          label={w.menu}
          class="menu-button"
          aria-expanded={menuOpen.value}
          onClick={() => (menuOpen.value = !menuOpen.value)}
        />
      </div>
      <nav aria-label={w.nav.label}>
        {PAGES.filter((page) => may(page.right)).map((page) => (
          <a key={page.name} href={to(page.name)} aria-current={here === page.name ? "page" : undefined}>
            {w.nav[page.name]}
          </a>
        ))}
      </nav>
      <AccountMenu />
    </header>
  );
}

function focusContent(event: Event): void {
  event.preventDefault();
  document.getElementById("content")?.focus();
}

function SignInAgain() {
  return (
    <Dialog title={words.value.signIn.title} onClose={() => (signedOut.value = false)}>
      <p>{words.value.signIn.again}</p>
      <SignIn onDone={() => (signedOut.value = false)} />
    </Dialog>
  );
}

function NotFound() {
  return (
    <Empty>
      <h1>404</h1>
      <p>{words.value.notFound}</p>
      <a class="button" href={to("chat")}>
        {words.value.nav.chat}
      </a>
    </Empty>
  );
}
