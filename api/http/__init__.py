"""The HTTP layer: middleware, bodies, headers, errors, pages, Server-Sent Events. It knows nothing about tenants or jobs."""
