"""Who answers: one of a tenant's agents, several in turn, or plain chat; decided in milliseconds, without a model."""
