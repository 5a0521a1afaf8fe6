"""The console as people use it: in Chromium, against a running system."""
