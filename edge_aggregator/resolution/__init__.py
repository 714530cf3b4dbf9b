"""Finer windows while a device is unlike itself, wider ones while nothing happens."""
