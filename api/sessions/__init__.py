"""Sessions (conversations): messages, forks, exports, feedback, and what agents remember about a user."""
