"""HTTP itself: middleware, bodies, headers, errors, pages of lists, Server-Sent Events. It knows nothing of tenants
and jobs."""
