/** Lines over time, drawn, with the same figures as a table for whoever can't see the drawing. */

import { useEffect, useRef, useState } from "preact/hooks";
import { moment } from "../format";
import { theme } from "../theme";
import { words } from "../words";
import type { Series } from "./chart";
import { failed } from "./toasts";

type ChartProps = { title: string; at: number[]; lines: Series[]; format: (value: number) => string; days?: boolean };

export function TimeChart({ title, at, lines, format, days }: ChartProps) {
  const w = words.value.chat;
  const root = useRef<HTMLDivElement>(null);
  const [open, setOpen] = useState(false);
  const chosen = theme.value;
  const drawn = JSON.stringify([at, lines]);
  useEffect(() => {
    let stop = () => {};
    let left = false;
    import("./chart")
      .then(({ draw }) => {
        if (!left && root.current) stop = draw(root.current, at, lines, { times: true });
      })
      .catch(failed);
    return () => {
      left = true;
      stop();
    };
  }, [drawn, chosen, w]);
  const when = (seconds: number) => (days ? new Date(1000 * seconds).toISOString().slice(0, 10) : moment(new Date(1000 * seconds).toISOString()));
  return (
    <figure class="data">
      <figcaption>{title}</figcaption>
      <div class="chart" ref={root} role="img" aria-label={w.chart(title)} />
      <details class="fold" onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>{w.asTable}</summary>
        {open && (
          <div class="table-frame" tabIndex={0}>
            <table>
              <thead><tr><th>{w.time}</th>{lines.map(({ label }) => <th key={label} class="number">{label}</th>)}</tr></thead>
              <tbody>
                {at.map((seconds, place) => (
                  <tr key={seconds}>
                    <td>{when(seconds)}</td>
                    {lines.map(({ label, values }) => <td key={label} class="number">{values[place] === null ? "–" : format(values[place])}</td>)}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        )}
      </details>
    </figure>
  );
}
