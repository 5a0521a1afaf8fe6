/** Chat: the conversations beside the one that is open. */

import { useSignal } from "@preact/signals";
import { useLocation, useRoute } from "preact-iso";
import { useEffect } from "preact/hooks";
import { to } from "../../address";
import { IconButton } from "../../parts/basics";
import { words } from "../../words";
import { ConversationView } from "./conversation-view";
import { leave, open } from "./conversation";
import { Sessions } from "./sessions";

export default function ChatPage() {
  const { params } = useRoute();
  const { route } = useLocation();
  const listed = useSignal(false);
  const conversation = open(params.session ?? "");
  const id = conversation.id.value;
  useEffect(() => {
    listed.value = false;
    if (!id || id === params.session) return;
    route(to(`chat/${id}`), true);
    conversation.isNew = false;
  }, [id, params.session]);
  const begin = () => {
    leave();
    route(to("chat"));
  };
  return (
    <div class={listed.value ? "chat listed" : "chat"}>
      <div class="chat-bar">
        <IconButton icon="list" label={words.value.chat.conversations} aria-expanded={listed.value}
          onClick={() => (listed.value = !listed.value)} />
        <IconButton icon="plus" label={words.value.chat.newChat} onClick={begin} />
      </div>
      <Sessions current={id} onBegin={begin} />
      <ConversationView conversation={conversation} key={conversation.key} />
    </div>
  );
}
