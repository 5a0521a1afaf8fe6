/** Where files can be dropped: whether some are held over it, and what its element must listen to. */

import { useState } from "preact/hooks";

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
