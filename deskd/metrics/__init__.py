"""Figures for Prometheus, and the desk's health: read at a scrape where they stand anyway, counted where they pass."""

from deskd.metrics.page import MetricsPage

__all__ = ["MetricsPage"]
