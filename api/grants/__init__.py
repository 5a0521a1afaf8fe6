"""What a tenant may use: grants of models, agents and tools, and the checks of them."""
