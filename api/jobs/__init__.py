"""Jobs: submitting them for other routes, and the routes to list, stream, cancel, retry, trace and delete them."""
