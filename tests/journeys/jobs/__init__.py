"""What becomes of jobs: cancelled, repeated, waiting, limited, and shared fairly between tenants."""
