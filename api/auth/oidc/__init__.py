"""OpenID Connect: the authorization code flow, its state in the browser, discovery, and the claims of ID tokens."""
