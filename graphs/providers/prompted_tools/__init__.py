"""Tool calls for models without native ones: a protocol in the prompt, and its parser."""
