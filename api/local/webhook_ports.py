"""Where a receiver of webhooks listens on a person's own machine, so that the local stack may post there."""

WEBHOOK_PORTS = (8766, 8767)
