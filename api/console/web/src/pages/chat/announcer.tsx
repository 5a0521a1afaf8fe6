/** Tells screen readers how an answer goes: whole sentences, at most every two seconds, never single tokens. */

import { useEffect, useState } from "preact/hooks";
import { effect } from "@preact/signals";
import { words } from "../../words";
import { type Answer } from "./answer";
import { isActive } from "./conversation";

const PAUSE_MS = 2_000;
/** What comes faster than it can be read aloud is left out but for its end. */
const MOST_SAID = 600;

/** The end of a text, from the beginning of a sentence or a word on. */
function latest(text: string): string {
  if (text.length <= MOST_SAID) return text;
  const end = text.slice(-MOST_SAID);
  const begin = Math.max(end.search(/[.!?\n]\s/) + 1, end.indexOf(" "));
  return end.slice(Math.max(0, begin)).trimStart();
}

export function Announcer({ answer }: { answer: Answer }) {
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (!isActive(answer.state.peek())) return;
    const w = words.peek().chat;
    let spoken = answer.text.peek().length;
    setSaid(w.answering);
    const timer = setInterval(() => {
      const text = answer.text.peek();
      const end = Math.max(text.lastIndexOf(". "), text.lastIndexOf("\n"), text.lastIndexOf("? "), text.lastIndexOf("! "));
      if (end <= spoken) return;
      setSaid(latest(text.slice(spoken, end + 1)));
      spoken = end + 1;
    }, PAUSE_MS);
    const dispose = effect(() => {
      const step = answer.steps.value.at(-1);
      if (step && step.ok === undefined) setSaid(w.toolRuns(step.name));
      if (isActive(answer.state.value)) return;
      clearInterval(timer);
      setSaid(`${latest(answer.text.peek().slice(spoken))} ${answer.state.value === "succeeded" ? w.done : answer.state.value === "cancelled" ? w.cancelled : w.failed}`);
    });
    return () => {
      clearInterval(timer);
      dispose();
    };
  }, [answer]);
  return <div class="visually-hidden" aria-live="polite">{said}</div>;
}
