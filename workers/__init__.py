"""How work happens: the queue and its attempts, streams, and a folder for each kind of job; Celery starts it all."""
