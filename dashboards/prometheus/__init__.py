"""Recording and alert rules for people who run Prometheus; plain files, copied out by `tidegate grafana export`."""
