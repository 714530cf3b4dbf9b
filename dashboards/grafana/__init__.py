"""Grafana's dashboards and data sources, as code; written to files or pushed by `tidegate grafana`."""
