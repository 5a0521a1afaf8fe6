"""Everything that two processes must agree on: tables, states, events, ids, Redis names, migrations."""
