"""RabbitMQ, where it carries doorbells in place of Redis: how it is named, and who publishes to it."""
