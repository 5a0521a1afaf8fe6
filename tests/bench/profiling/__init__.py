"""Where time and memory go: samples, statements, job rows, process usage."""
