/** The open conversation: its turns, what is read aloud, and where one writes. */

import { useComputed, useSignal } from "@preact/signals";
import { useLocation } from "preact-iso";
import { useEffect, useRef } from "preact/hooks";
import { to } from "../../address";
import { api, need } from "../../api";
import { Loading, ErrorNote, Icon } from "../../parts/basics";
import { useLoad } from "../../parts/load";
import { failed } from "../../parts/toasts";
import { may } from "../../session";
import { words } from "../../words";
import { Composer, type ComposerHandle } from "./composer";
import { type Choice, type Conversation, isActive, leave, open, sessionsChanged, type Turn } from "./conversation";
import { Announcer } from "./announcer";
import { TurnView } from "./turn";

const NEAR_THE_END_PX = 40;

export function ConversationView({ conversation }: { conversation: Conversation }) {
  const w = words.value.chat;
  const { route } = useLocation();
  const scroller = useRef<HTMLDivElement>(null);
  const composer = useRef<ComposerHandle>(null);
  const turns = conversation.turns.value;
  const last = turns.at(-1);
  const busy = useComputed(() => conversation.turns.value.some((turn) => isActive(turn.answer.state.value)));
  const { atEnd, toEnd, onScroll, onMove } = useFollowing(scroller, conversation);

  useEffect(() => {
    document.title = `${w.title} · headrace`;
  }, [w]);
  useEffect(() => {
    scroller.current?.querySelector(".turn:last-of-type")?.scrollIntoView({ block: "start" });
  }, [last?.key]);

  const ask = async (text: string, attachments: Parameters<Conversation["ask"]>[1], choice: Choice) => {
    await conversation.ask(text, attachments, choice);
  };

  /** Asks in a new conversation that has what came before a turn; the old one stays as it is. */
  const askFrom = async (turn: Turn, text: string, choice: Partial<Choice>) => {
    const next = turn.before ? await fork(conversation.id.value, turn.before) : "";
    if (!next) leave();
    const begun = open(next);
    if (next) route(to(`chat/${next}`));
    else route(to("chat"));
    await begun.ready;
    await begun.ask(text, [], { agent: "", model: "", collections: [], ...choice });
  };

  return (
    <section class="conversation" aria-label={w.title} onKeyDown={(event) => {
      const elsewhere = (event.target as Element).closest("dialog, .menu, .edit-question");
      if (event.key === "Escape" && !elsewhere && busy.value) conversation.stop().catch(failed);
    }}>
      <h1 class="visually-hidden">{w.title}</h1>
      <div class="turns" ref={scroller} onScroll={onScroll} onWheel={onMove} onTouchMove={onMove} tabIndex={0} role="region" aria-label={w.transcript}>
        {conversation.loading.value && <Loading />}
        {conversation.error.value !== undefined && <ErrorNote error={conversation.error.value} retry={() => conversation.load()} />}
        {!turns.length && !conversation.loading.value && conversation.error.value === undefined && (
          <Welcome onChoose={(text) => composer.current?.write(text)} />
        )}
        {turns.map((turn) => (
          <TurnView
            key={turn.key}
            turn={turn}
            isLast={turn === last}
            onAskAgain={(text, choice) => askFrom(turn, text, choice).catch(failed)}
            onBranch={async (messageId) => {
              try {
                route(to(`chat/${await fork(conversation.id.value, messageId)}`));
              } catch (error) {
                failed(error);
              }
            }}
          />
        ))}
        {!conversation.connected.value && busy.value && <p class="note" role="status">{w.reconnecting}</p>}
      </div>
      {!atEnd.value && turns.length > 0 && (
        <button type="button" class="button to-newest" onClick={toEnd}>
          <Icon name="chevron" /> {w.newest}
        </button>
      )}
      {last && <Announcer key={last.key} answer={last.answer} />}
      <Composer
        handle={composer}
        sessionId={conversation.id.value}
        busy={busy.value}
        onAsk={ask}
        onStop={() => conversation.stop().catch(failed)}
      />
    </section>
  );
}

async function fork(session_id: string, message_id: string): Promise<string> {
  const found = await need(
    api.POST("/api/sessions/{session_id}/fork", { params: { path: { session_id } }, body: { message_id } }),
  );
  sessionsChanged.value += 1;
  return found.id;
}

/** Keeps the end in view only for a reader who went there; whoever moves up stays where they are. */
function useFollowing(scroller: { current: HTMLDivElement | null }, conversation: Conversation) {
  const atEnd = useSignal(true);
  const following = useRef(false);
  const isAtEnd = () => {
    const box = scroller.current;
    return !box || box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_THE_END_PX;
  };
  const turns = conversation.turns.value;
  useEffect(() => {
    // Called after layout, and only when something has grown: reading the place costs nothing then.
    const watch = new ResizeObserver(() => {
      if (following.current && scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight;
      atEnd.value = isAtEnd();
    });
    for (const turn of scroller.current?.querySelectorAll(".turn") ?? []) watch.observe(turn);
    return () => watch.disconnect();
  }, [turns]);
  return {
    atEnd,
    toEnd: () => {
      following.current = true;
      if (scroller.current) scroller.current.scrollTop = scroller.current.scrollHeight;
    },
    onScroll: () => (atEnd.value = isAtEnd()),
    onMove: () => requestAnimationFrame(() => (following.current = isAtEnd())),
  };
}

const SUGGESTIONS = 4;

function Welcome({ onChoose }: { onChoose: (text: string) => void }) {
  const w = words.value.chat;
  const agents = useLoad(async () => (may("agents.read") ? (await need(api.GET("/api/agents"))).items : []), []);
  const examples = (agents.data ?? []).flatMap((agent) => agent.examples.slice(0, 1)).slice(0, SUGGESTIONS);
  return (
    <div class="welcome">
      <p class="welcome-title">{w.welcome}</p>
      {examples.length > 0 && <p class="hint">{w.welcomeHint}</p>}
      <div class="suggestions">
        {examples.map((example) => (
          <button type="button" class="suggestion" key={example} onClick={() => onChoose(example)}>
            {example}
          </button>
        ))}
      </div>
    </div>
  );
}
