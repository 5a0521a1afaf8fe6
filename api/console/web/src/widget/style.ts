/** How the widget looks, whatever the page around it does: it lives in a shadow root, and inherits nothing but what is set here. */

export const STYLE = `
:host { all: initial; color-scheme: light dark; --accent: #0b6467; --on-accent: #fff;
  --paper: light-dark(#fff, #15191c); --raised: light-dark(#f1f4f5, #20272b); --ink: light-dark(#17202a, #e7ecef);
  --soft: light-dark(#55636f, #a6b2bb); --line: light-dark(#7f8c96, #74818a); --link: light-dark(#0b5f62, #7fd3d0); --bad: light-dark(#a1221b, #ff9d94); }
:host([data-theme="light"]) { color-scheme: light; }
:host([data-theme="dark"]) { color-scheme: dark; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
.root { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); }
button, textarea { font: inherit; color: inherit; }
button { cursor: pointer; }
:focus-visible { outline: 2px solid var(--ink); outline-offset: 2px; }
svg { display: block; width: 24px; height: 24px; fill: none; stroke: currentcolor; stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.launcher { position: fixed; z-index: 2147483000; right: 20px; bottom: 20px; display: grid; place-items: center; width: 56px; height: 56px; border: 0;
  border-radius: 50%; background: var(--accent); color: var(--on-accent); box-shadow: 0 4px 18px rgb(0 0 0 / 28%); }
.panel { position: fixed; z-index: 2147483001; right: 20px; bottom: 20px; display: flex; flex-direction: column; width: 380px; height: min(600px, calc(100dvh - 40px));
  border: 1px solid light-dark(#dde3e7, #333d44); border-radius: 16px; overflow: hidden; background: var(--paper); box-shadow: 0 10px 40px rgb(0 0 0 / 24%); }
.left .launcher, .left .panel { right: auto; left: 20px; }
header { display: flex; align-items: center; gap: 4px; padding: 10px 10px 10px 18px; background: var(--accent); color: var(--on-accent); }
h2 { flex: 1; min-width: 0; margin: 0; font-size: 16px; font-weight: 620; line-height: 1.3; overflow-wrap: anywhere; }
header button { display: grid; place-items: center; width: 44px; height: 44px; border: 0; border-radius: 10px; background: none; color: inherit; }
header button:hover { background: rgb(255 255 255 / 18%); }
header :focus-visible, .launcher:focus-visible { outline-color: var(--on-accent); outline-offset: -4px; }
.log { flex: 1; overflow-y: auto; padding: 18px; overscroll-behavior: contain; }
.log > * { margin: 0 0 14px; }
.mine { width: fit-content; max-width: 86%; margin-left: auto !important; padding: 8px 14px; border-radius: 16px 16px 4px 16px; background: var(--raised); white-space: pre-wrap; overflow-wrap: anywhere; }
.theirs { overflow-wrap: anywhere; }
.theirs > * { margin: 0 0 10px; }
.theirs ul, .theirs ol { padding-left: 22px; }
.theirs hr { border: 0; border-top: 1px solid var(--line); }
a { color: var(--link); }
code { font: 0.9em ui-monospace, Menlo, monospace; }
pre { padding: 10px 12px; border-radius: 10px; background: var(--raised); overflow-x: auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; }
th, td { padding: 5px 10px 5px 0; border-bottom: 1px solid light-dark(#dde3e7, #333d44); text-align: left; vertical-align: top; }
.note { color: var(--soft); font-size: 14px; }
.note.bad { color: var(--bad); }
form { display: flex; align-items: flex-end; gap: 8px; padding: 10px 12px calc(12px + env(safe-area-inset-bottom)); border-top: 1px solid light-dark(#e6ebee, #2b343a); }
textarea { flex: 1; min-height: 44px; max-height: 140px; padding: 10px 12px; border: 1px solid var(--line); border-radius: 12px; background: var(--paper); resize: none; field-sizing: content; font-size: 16px; line-height: 1.4; }
textarea::placeholder { color: var(--soft); opacity: 1; }
form button { display: grid; place-items: center; flex: none; width: 44px; height: 44px; border: 0; border-radius: 12px; background: var(--accent); color: var(--on-accent); }
.said { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@media (max-width: 480px) {
  .panel { inset: 0 !important; width: auto; height: auto; border: 0; border-radius: 0; }
  header { padding-top: calc(10px + env(safe-area-inset-top)); }
}
`;
