"""From samples to the report: percentiles, measurements, table and JSON."""
