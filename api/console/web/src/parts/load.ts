/** Reads something for a page, again when what it depends on changes; an answer that comes too late is dropped. */

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

export type Loaded<T> = { data?: T; error?: unknown; loading: boolean; reload: () => void; set: (change: (old: T) => T) => void };

type Page<T> = { items: T[]; next_cursor: string | null };
export type Pages<T> = { items?: T[]; error?: unknown; more?: () => void; reload: () => void };

/** Reads a list page by page: the first at once, the others when they are asked for. */
export function usePages<T>(read: (cursor?: string) => Promise<Page<T>>, dependencies: unknown[]): Pages<T> {
  const first = useLoad(() => read(), dependencies);
  const [failure, setFailure] = useState<unknown>();
  const cursor = first.data?.next_cursor;
  const more = () =>
    read(cursor ?? undefined).then(
      (page) => first.set((old) => ({ items: [...old.items, ...page.items], next_cursor: page.next_cursor })),
      setFailure,
    );
  return { items: first.data?.items, error: failure ?? first.error, more: cursor ? () => void more() : undefined, reload: first.reload };
}

export function useLoad<T>(read: () => Promise<T>, dependencies: unknown[]): Loaded<T> {
  const [state, setState] = useState<{ data?: T; error?: unknown; loading: boolean }>({ loading: true });
  const turn = useRef(0);
  const reload = useCallback(() => {
    const mine = ++turn.current;
    setState((old) => ({ ...old, loading: true }));
    read().then(
      (data) => mine === turn.current && setState({ data, loading: false }),
      (error) => mine === turn.current && setState((old) => ({ ...old, error, loading: false })),
    );
  }, dependencies);
  useEffect(() => {
    reload();
    return () => void turn.current++;
  }, [reload]);
  const set = useCallback((change: (old: T) => T) => {
    setState((old) => (old.data === undefined ? old : { ...old, data: change(old.data) }));
  }, []);
  return { ...state, reload, set };
}
