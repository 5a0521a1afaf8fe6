/** Sharing a conversation: whether others of the organisation may read it, and the link that they open. */

import { useState } from "preact/hooks";
import { to } from "../../address";
import type { Schemas } from "../../api";
import { Dialog } from "../../parts/dialog";
import { failed, told } from "../../parts/toasts";
import { words } from "../../words";

type ShareProps = { session: Schemas["SessionOut"]; onChange: (shared: boolean) => Promise<void>; onClose: () => void };

export function Share({ session, onChange, onClose }: ShareProps) {
  const w = words.value.chat;
  const [busy, setBusy] = useState(false);
  const link = new URL(to(`shared/${session.id}`), location.href).href;
  const set = (shared: boolean) => {
    setBusy(true);
    onChange(shared).catch(failed).finally(() => setBusy(false));
  };
  const copy = () => navigator.clipboard.writeText(link).then(() => told(words.value.copied), failed);
  return (
    <Dialog title={w.share} onClose={onClose}>
      <p>{session.shared_at ? w.sharedHint : w.shareHint}</p>
      {session.shared_at && <p class="secret mono">{link}</p>}
      <div class="dialog-actions">
        {session.shared_at ? (
          <>
            <button type="button" class="button" disabled={busy} onClick={() => set(false)}>{w.unshare}</button>
            <button type="button" class="button primary" onClick={copy}>{words.value.copy}</button>
          </>
        ) : (
          <button type="button" class="button primary" disabled={busy} onClick={() => set(true)}>{w.makeLink}</button>
        )}
      </div>
    </Dialog>
  );
}
