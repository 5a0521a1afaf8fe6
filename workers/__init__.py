"""How work happens: queue, tasks, attempts, relay, upkeep."""
