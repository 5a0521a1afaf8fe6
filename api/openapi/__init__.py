"""The OpenAPI document: what it says of operations, errors, events and headers, and the page that shows it."""
