"""Statements about webhooks: endpoints, the outbox that deliverers work through, and what is shown of deliveries."""
