/** The tool calls of an answer: name and time while they run, arguments and result when unfolded. */

import { duration } from "../../format";
import { words } from "../../words";
import { type Step } from "./answer";

const SHOWN = 20_000;

export function Steps({ steps }: { steps: Step[] }) {
  const w = words.value.chat;
  return (
    <ul class="steps" aria-label={w.steps}>
      {steps.map((step) => (
        <li key={step.id}>
          <details class={step.ok === false ? "fold failed" : "fold"}>
            <summary>
              <span class="step-name">{step.name}</span>
              <span class="soft">{step.ok === undefined ? w.running : duration(step.duration_ms ?? 0)}</span>
            </summary>
            <p class="label">{w.arguments}</p>
            <Lines text={JSON.stringify(step.arguments ?? {}, null, 2)} />
            {step.output !== undefined && (
              <>
                <p class="label">{w.result}</p>
                <Lines text={step.output} />
              </>
            )}
          </details>
        </li>
      ))}
    </ul>
  );
}

/** Long texts a line each: one growing text node would be laid out as a whole each time. */
function Lines({ text }: { text: string }) {
  return (
    <div class="lines" tabIndex={0}>
      {text
        .slice(0, SHOWN)
        .split("\n")
        .map((line, place) => (
          <div key={place}>{line || "\u00a0"}</div>
        ))}
    </div>
  );
}
