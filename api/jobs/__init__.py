"""Jobs over HTTP: submitted, listed, followed, cancelled, retried."""
