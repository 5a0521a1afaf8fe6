"""Tool calls for models that have none of their own: a protocol in the prompt, and its reader."""
