/** The people of the organisation: who they are, what they may do, and whether they may still sign in. */

import { useState } from "preact/hooks";
import { api, need, type Schemas } from "../../api";
import { Ago, Badge, PageTitle } from "../../parts/basics";
import { confirmed } from "../../parts/dialog";
import { FormDialog } from "../../parts/form";
import { List } from "../../parts/list";
import { usePages } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";

type User = Schemas["UserOut"];
const ROLES = ["owner", "member", "viewer"];

export default function PeoplePage() {
  const w = words.value.people;
  const pages = usePages((cursor) => need(api.GET("/api/users", { params: { query: { limit: 50, ...(cursor ? { cursor } : {}) } } })), []);
  const [adding, setAdding] = useState(false);
  const manages = may("users.manage");
  const change = async (user: User, body: Schemas["UserChangeIn"]) => {
    await need(api.PATCH("/api/users/{user_id}", { params: { path: { user_id: user.id } }, body }));
    pages.reload();
  };
  const remove = async (user: User) => {
    if (!(await confirmed(words.value.confirmRemove(user.email), words.value.remove))) return;
    await need(api.DELETE("/api/users/{user_id}", { params: { path: { user_id: user.id } } }));
    pages.reload();
  };
  return (
    <div class="page">
      <PageTitle text={w.title}>
        {manages && <button type="button" class="button primary" onClick={() => setAdding(true)}>{w.add}</button>}
      </PageTitle>
      <List pages={pages} empty={w.empty} heads={[words.value.name, w.role, words.value.jobs.state, w.seen, ""]}
        row={(user) => (
          <tr key={user.id}>
            <td class="wide">{user.name || user.email}<br /><span class="soft">{user.email}</span></td>
            <td>
              {manages ? (
                <select aria-label={`${w.role}: ${user.email}`} value={user.role}
                  onChange={(event) => change(user, { role: event.currentTarget.value as User["role"] }).catch(failed)}>
                  {[...new Set([user.role, ...ROLES])].map((role) => <option key={role} value={role}>{role}</option>)}
                </select>
              ) : user.role}
            </td>
            <td><Badge state={user.state === "active" ? "ok" : "failed"} label={user.state === "active" ? w.active : w.disabled} /></td>
            <td>{user.last_login_at ? <Ago at={user.last_login_at} /> : w.never}</td>
            <td>
              {manages && (
                <>
                  <button type="button" class="link" aria-label={`${user.state === "active" ? w.disable : w.enable}: ${user.email}`}
                    onClick={() => change(user, { state: user.state === "active" ? "disabled" : "active" }).catch(failed)}>
                    {user.state === "active" ? w.disable : w.enable}
                  </button>{" "}
                  <button type="button" class="link" aria-label={`${words.value.remove}: ${user.email}`} onClick={() => remove(user).catch(failed)}>{words.value.remove}</button>
                </>
              )}
            </td>
          </tr>
        )} />
      {adding && (
        <FormDialog title={w.add} button={words.value.create} onClose={() => setAdding(false)} values={{ role: "member" }}
          fields={[
            { name: "email", label: words.value.signIn.email, kind: "email", required: true },
            { name: "name", label: words.value.name },
            { name: "role", label: w.role, kind: "choice", options: ROLES.map((role) => [role, role]) },
            { name: "password", label: w.firstPassword, kind: "password", hint: w.passwordHint },
          ]}
          onSend={async ({ email = "", name = "", role, password }) => {
            const body = { email, name, role: role as User["role"], ...(password ? { password } : {}) };
            await need(api.POST("/api/users", { body }));
            pages.reload();
          }} />
      )}
    </div>
  );
}
