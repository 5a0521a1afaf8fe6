"""What Prometheus and Grafana are given: `alerts.yaml`, `prometheus.yaml`, and `dashboard.json`, which `dashboard.py` makes."""
