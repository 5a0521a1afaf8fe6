"""The process in which LangChain's models run. Nothing here is imported by a worker or the API."""
