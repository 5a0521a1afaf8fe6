"""Files that clients keep here, outside of any collection: OpenAI's `/v1/files`."""
