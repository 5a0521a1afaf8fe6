/** Sign-in with a password, an API key, or an identity provider of the organisation. Also shown over a page whose sign-in ended. */

import { useState } from "preact/hooks";
import { api, ApiError, need, sentence } from "../api";
import { recall, remember } from "../storage";
import { signIn } from "../session";
import { words } from "../words";
import { ROOT } from "../address";
import { ErrorNote, Field } from "../parts/basics";

type Way = "password" | "key";

export function SignIn({ problem, onDone }: { problem?: unknown; onDone?: () => void }) {
  const w = words.value.signIn;
  const [way, setWay] = useState<Way>(recall("way") === "key" ? "key" : "password");
  return (
    <main class="sign-in" id="content">
      <div class="sign-in-card">
        <p class="brand">
          <img src="icon.svg" alt="" width="32" height="32" /> headrace
        </p>
        <h1>{w.title}</h1>
        {problem !== undefined && <ErrorNote error={problem} />}
        <div class="tabs" role="group" aria-label={w.how}>
          {(["password", "key"] as const).map((one) => (
            <button
              type="button"
              key={one}
              aria-pressed={way === one}
              onClick={() => {
                setWay(one);
                remember("way", one);
              }}
            >
              {one === "key" ? w.byKey : w.password}
            </button>
          ))}
        </div>
        {way === "key" ? <KeyForm onDone={onDone} /> : <PasswordForm onDone={onDone} />}
        <p class="hint">{w.first}</p>
      </div>
    </main>
  );
}

type Busy = { busy: boolean; error: unknown; run: (work: () => Promise<void>) => void };

function useBusy(onDone?: () => void): Busy {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>();
  const run = (work: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    work()
      .then(onDone, setError)
      .finally(() => setBusy(false));
  };
  return { busy, error, run };
}

function PasswordForm({ onDone }: { onDone?: () => void }) {
  const w = words.value.signIn;
  const [tenant, setTenant] = useState(recall("tenant"));
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const { busy, error, run } = useBusy(onDone);
  const submit = (event: Event) => {
    event.preventDefault();
    remember("tenant", tenant);
    run(() => signIn({ tenant, email, password }));
  };
  return (
    <form onSubmit={submit}>
      <Field label={w.tenant} hint={w.tenantHint}>
        {(id, told) => (
          <input id={id} aria-describedby={told} required autocomplete="organization" autocapitalize="none"
            value={tenant} onInput={(event) => setTenant(event.currentTarget.value)} />
        )}
      </Field>
      <Field label={w.email}>
        {(id) => (
          <input id={id} type="email" required autocomplete="username" value={email}
            onInput={(event) => setEmail(event.currentTarget.value)} />
        )}
      </Field>
      <Field label={w.password}>
        {(id) => (
          <input id={id} type="password" required autocomplete="current-password" value={password}
            onInput={(event) => setPassword(event.currentTarget.value)} />
        )}
      </Field>
      {error !== undefined && <ErrorNote error={error} />}
      <button type="submit" class="button primary" disabled={busy}>
        {busy ? w.busy : w.button}
      </button>
      <Providers tenant={tenant} />
    </form>
  );
}

function KeyForm({ onDone }: { onDone?: () => void }) {
  const w = words.value.signIn;
  const [key, setKey] = useState("");
  const { busy, error, run } = useBusy(onDone);
  const submit = (event: Event) => {
    event.preventDefault();
    run(() => signIn({ api_key: key.trim() }));
  };
  return (
    <form onSubmit={submit}>
      <Field label={w.key} hint={w.keyHint}>
        {(id, told) => (
          <input id={id} aria-describedby={told} type="password" required autocomplete="off" value={key}
            onInput={(event) => setKey(event.currentTarget.value)} />
        )}
      </Field>
      {error !== undefined && <ErrorNote error={error} />}
      <button type="submit" class="button primary" disabled={busy}>
        {busy ? w.busy : w.button}
      </button>
    </form>
  );
}

/** The identity providers of an organisation, asked for when its name has been typed. */
function Providers({ tenant }: { tenant: string }) {
  const w = words.value.signIn;
  const [found, setFound] = useState<{ tenant: string; items: { name: string; url: string }[] }>();
  const [problem, setProblem] = useState("");
  const ask = () => {
    setProblem("");
    need(api.GET("/api/auth/oidc/{tenant}", { params: { path: { tenant } } })).then(
      ({ items }) => setFound({ tenant, items }),
      (error) => setProblem(error instanceof ApiError && error.status === 404 ? "" : sentence(error)),
    );
  };
  const back = location.pathname.startsWith(ROOT) ? location.pathname + location.search : ROOT;
  const items = found?.tenant === tenant ? found.items : [];
  return (
    <div class="providers">
      {tenant && found?.tenant !== tenant && (
        <button type="button" class="link" onClick={ask}>
          {w.providers} …
        </button>
      )}
      {problem && <p class="field-error">{problem}</p>}
      {items.map((item) => (
        <a class="button" key={item.name} href={`${item.url}?return_to=${encodeURIComponent(back)}`}>
          {w.providers} {item.name}
        </a>
      ))}
      {found?.tenant === tenant && items.length === 0 && <p class="hint">{words.value.none}</p>}
    </div>
  );
}
