/** Why an agent answers: the router's sentence, and how likely it found each. */

import { words } from "../../words";
import type { Answer, Score } from "../chat/answer";

export function Why({ answer }: { answer: Answer }) {
  return (
    <div class="why">
      <h3>{words.value.agentPage.why}</h3>
      <p lang="en">{answer.reason.value}</p>
      {answer.scores.value.length > 0 && <Scores scores={answer.scores.value} chosen={answer.agent.value ?? ""} />}
    </div>
  );
}

/** What the router thought of each agent. */
function Scores({ scores, chosen }: { scores: Score[]; chosen: string }) {
  const w = words.value.agentPage;
  return (
    <dl class="scores">
      {scores.map(({ agent, score }) => (
        <div key={agent} class={agent === chosen ? "chosen" : ""}>
          <dt>{agent === "chat" ? w.alone : agent}</dt>
          <dd><meter aria-label={`${w.score}: ${agent}`} min={0} max={1} value={score} /> {Math.round(score * 100)} %</dd>
        </div>
      ))}
    </dl>
  );
}
