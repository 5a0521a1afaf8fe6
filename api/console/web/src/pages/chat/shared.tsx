/** A conversation that somebody of the organisation shares: it can be read, and nothing else. */

import { useRoute } from "preact-iso";
import { useMemo } from "preact/hooks";
import { api, need } from "../../api";
import { moment } from "../../format";
import { ErrorNote, Loading, PageTitle } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { words } from "../../words";
import { AnswerView } from "./answer-view";
import { turnsOf } from "./conversation";
import { Question } from "./turn";

export default function SharedPage() {
  const w = words.value.chat;
  const id = useRoute().params.session ?? "";
  const { data, error, reload } = useLoad(() => need(api.GET("/api/sessions/{session_id}/shared", { params: { path: { session_id: id } } })), [id]);
  const turns = useMemo(() => turnsOf(data?.messages ?? [], new Set()), [data]);
  return (
    <div class="page shared">
      {error !== undefined && <ErrorNote error={error} retry={reload} />}
      {!data && error === undefined && <Loading />}
      {data && (
        <>
          <PageTitle text={data.title || w.untitled}><span class="soft">{moment(data.updated_at)}</span></PageTitle>
          <p class="hint">{w.readOnly}</p>
          {turns.map((turn) => (
            <article class="turn" key={turn.key}>
              <div class="question"><Question parts={turn.question} /></div>
              <AnswerView answer={turn.answer} />
            </article>
          ))}
        </>
      )}
    </div>
  );
}
