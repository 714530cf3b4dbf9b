"""Alerts: conditions, their life, and delivery."""
