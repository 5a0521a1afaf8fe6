/** Who is signed in, and what they may choose for themselves: theme, language, signing out. */

import { useState } from "preact/hooks";
import { download } from "../address";
import { caller, signOut, signOutEverywhere } from "../session";
import { chooseTheme, theme, THEMES } from "../theme";
import { changeLanguage, type Language, language, LANGUAGES, words } from "../words";
import { Field } from "./basics";
import { Dialog } from "./dialog";
import { failed } from "./toasts";

export function AccountMenu() {
  const [open, setOpen] = useState(false);
  const found = caller.value;
  const name = found?.user?.name || found?.user?.email || found?.key?.name || words.value.account.key;
  return (
    <div class="account">
      <button type="button" class="account-button" aria-haspopup="dialog" onClick={() => setOpen(true)}>
        <span class="account-name">{name}</span>
        <span class="account-tenant">{found?.tenant.slug}</span>
      </button>
      {open && <Settings onClose={() => setOpen(false)} />}
    </div>
  );
}

function Settings({ onClose }: { onClose: () => void }) {
  const w = words.value.account;
  return (
    <Dialog title={w.label} onClose={onClose}>
      <Field label={w.theme}>
        {(id) => (
          <select id={id} value={theme.value} onChange={(event) => chooseTheme(event.currentTarget.value as typeof theme.value)}>
            {THEMES.map((one) => (
              <option key={one} value={one}>
                {w.themes[one]}
              </option>
            ))}
          </select>
        )}
      </Field>
      <Field label={w.language}>
        {(id) => (
          <select id={id} value={language.value} onChange={(event) => changeLanguage(event.currentTarget.value as Language)}>
            {Object.entries(LANGUAGES).map(([code, name]) => (
              <option key={code} value={code} lang={code}>
                {name}
              </option>
            ))}
          </select>
        )}
      </Field>
      <p>
        <a href={download("/schema/swagger")} target="_blank" rel="noreferrer">
          {w.reference}
        </a>
      </p>
      <div class="dialog-actions">
        {caller.value?.kind === "user" && (
          <button type="button" class="button" onClick={() => signOutEverywhere().catch(failed)}>
            {w.outEverywhere}
          </button>
        )}
        <button type="button" class="button" onClick={() => signOut().catch(failed)}>
          {w.out}
        </button>
      </div>
    </Dialog>
  );
}
