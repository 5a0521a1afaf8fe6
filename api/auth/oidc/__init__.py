"""What is said to an identity provider: the authorization code flow of OpenID Connect."""
