/** Where files can be dropped: whether some are held over it, and what its element must listen to. */

import { useState } from "preact/hooks";

/** A file that is dropped beside its place must not take the browser away from the page, and from what was typed there. */
export function keepStrayDropsOut(): void {
  for (const type of ["dragover", "drop"] as const) {
    window.addEventListener(type, (event) => {
      if (!event.defaultPrevented && event.dataTransfer?.types.includes("Files")) {
        event.preventDefault();
        event.dataTransfer.dropEffect = "none";
      }
    });
  }
}

export function useDrop(onFiles: (dropped: DataTransfer) => void) {
  const [over, setOver] = useState(false);
  const listeners = {
    onDragOver: (event: DragEvent) => {
      event.preventDefault();
      setOver(true);
    },
    onDragLeave: () => setOver(false),
    onDrop: (event: DragEvent) => {
      event.preventDefault();
      setOver(false);
      if (event.dataTransfer) onFiles(event.dataTransfer);
    },
  };
  return { over, listeners };
}
