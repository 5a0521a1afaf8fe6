/** The tenant's changes as they happen (`GET /api/events`), for the one list that a page shows: one stream a tab. */

import { useEffect, useState } from "preact/hooks";
import { follow } from "./stream";

export type Changes = {
  jobs: any[];
  documents: any[];
  deliveries: any[];
  deleted: { jobs: string[]; documents: string[]; deliveries: string[] };
  reload: string[];
};

/** Calls `onChanges` for what changed, and `onMissed` when the list must be read again. Returns whether it is connected. */
export function useChanges(onChanges: (changes: Changes) => void, onMissed: () => void): boolean {
  const [connected, setConnected] = useState(true);
  useEffect(() => {
    const stop = new AbortController();
    follow({
      path: "/api/events",
      signal: stop.signal,
      onConnection: setConnected,
      onEvent: (event) => {
        if (event.type === "opened" && !event.data.resumed) onMissed();
        if (event.type === "changes") onChanges(event.data as Changes);
      },
    }).catch(() => setConnected(false));
    return () => stop.abort();
  }, [onChanges, onMissed]);
  return connected;
}
