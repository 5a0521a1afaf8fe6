"""Job event streams: published by the relay, read by followers."""
