"""Tools and the data sources they read: routes to manage and test them, and the catalog of what a tenant may use."""
