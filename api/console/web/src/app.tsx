/** The frame around every page: who is signed in, the pages beside it, and what stands over them. */

import { signal } from "@preact/signals";
import { ErrorBoundary, lazy, LocationProvider, Route, Router, useLocation } from "preact-iso";
import { useEffect } from "preact/hooks";
import { ROOT, to } from "./address";
import { signedOut } from "./api";
import { AccountMenu } from "./parts/account";
import { Empty, IconButton } from "./parts/basics";
import { Confirmation, Dialog } from "./parts/dialog";
import { Toasts } from "./parts/toasts";
import { openOver, over, useKeys } from "./parts/keys";
import { type Group, GROUPS, PAGES } from "./pages";
import { caller, may } from "./session";
import { SignIn } from "./pages/sign-in";
import { words } from "./words";

/** What went wrong before anybody was signed in, such as a one-time link that is over. */
export const beginning = signal<unknown>(undefined);
const menuOpen = signal(false);

const ChatPage = lazy(() => import("./pages/chat/page"));
const SharedPage = lazy(() => import("./pages/chat/shared"));
const Palette = lazy(() => import("./parts/palette"));

export function App() {
  if (caller.value === undefined) return null;
  if (caller.value === null) return <SignIn problem={beginning.value} />;
  return (
    <LocationProvider>
      <Frame />
      <ErrorBoundary>{over.value && <Palette shown={over.value} />}</ErrorBoundary>
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
  useKeys();
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
          <Route path={`${ROOT}shared/:session`} component={SharedPage} />
          {PAGES.filter((page) => page.name !== "chat").map((page) => (
            <Route key={page.name} path={`${ROOT}${page.name}`} component={page.component} />
          ))}
          {PAGES.flatMap(({ name, detail }) => (detail ? [<Route key={name} path={`${ROOT}${name}/${detail.path}`} component={detail.component} />] : []))}
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
        <IconButton icon="search" label={w.palette.open} class="palette-button" onClick={() => openOver("palette")} />
        <IconButton
          icon="menu"
          label={w.menu}
          class="menu-button"
          aria-expanded={menuOpen.value}
          onClick={() => (menuOpen.value = !menuOpen.value)}
        />
      </div>
      <nav aria-label={w.nav.label}>
        {GROUPS.map(({ name, pages }) => <NavigationGroup key={name} name={name} pages={pages} here={here} />)}
      </nav>
      <AccountMenu />
    </header>
  );
}

function NavigationGroup({ name, pages, here }: Group & { here: string }) {
  const w = words.value.nav;
  const seen = pages.filter((page) => may(page.right));
  if (!seen.length) return null;
  return (
    <div class="nav-group" role="group" aria-label={w.groups[name]}>
      <p class="nav-name" aria-hidden="true">{w.groups[name]}</p>
      {seen.map((page) => (
        <a key={page.name} href={to(page.name)} aria-current={here === page.name ? "page" : undefined}>
          {w[page.name]}
        </a>
      ))}
    </div>
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
