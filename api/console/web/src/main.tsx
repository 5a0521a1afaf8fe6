/** Starts the console. */

import "./styles/fonts.css";
import "./styles/base.css";
import "./styles/frame.css";
import "./styles/pages.css";
import "./styles/chat.css";
import { render } from "preact";
import { App, beginning } from "./app";
import { keepStrayDropsOut } from "./parts/drop";
import { begin, caller, prolong } from "./session";

/** After an update of the server an open page may ask for a file that is gone: load the new page, but not for ever. */
window.addEventListener("vite:preloadError", (event) => {
  if (sessionStorage.getItem("headrace.reloaded") === "1") return;
  event.preventDefault();
  sessionStorage.setItem("headrace.reloaded", "1");
  location.reload();
});

keepStrayDropsOut();
begin()
  .catch((error) => {
    beginning.value = error;
    caller.value ??= null;
  })
  .finally(() => {
    const root = document.getElementById("app");
    if (root) render(<App />, root);
  });

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && caller.value) prolong().catch(() => undefined);
});
