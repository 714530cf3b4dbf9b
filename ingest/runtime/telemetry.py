"""A process's own metrics and traces: prometheus-client and OpenTelemetry, made from the contract's list of names."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter

    from ingest.contract.names import MetricSpec

_PROPAGATOR = TraceContextTextMapPropagator()

FLUSH_S = 2.0
"""How long the end of a process waits for a collector: spans are worth less than a stop in time."""


class Telemetry:
    """One worker's metrics and tracer.

    `otlp_endpoint` is the base address of an OTLP/HTTP collector; without it spans are made (their ids travel in the
    records' headers) and go nowhere.
    """

    def __init__(self, service: str, *, otlp_endpoint: str = "", processors: tuple[SpanProcessor, ...] = ()) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._metrics: dict[str, Any] = {}
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}), shutdown_on_exit=False)
        for processor in processors:
            self._provider.add_span_processor(processor)
        if otlp_endpoint:
            self._provider.add_span_processor(BatchSpanProcessor(_exporter(otlp_endpoint)))
        self._tracer = self._provider.get_tracer("tidegate")

    def count(self, spec: MetricSpec, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        self._metric(spec, labels).inc(amount)

    def gauge(self, spec: MetricSpec, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._metric(spec, labels).set(value)

    def observe(self, spec: MetricSpec, value: float, **labels: str) -> None:
        """Add one observation to a histogram; the span that is current, if any, becomes its exemplar."""
        of = trace.get_current_span().get_span_context()
        exemplar = {"trace_id": f"{of.trace_id:032x}"} if of.is_valid and of.trace_flags.sampled else None
        self._metric(spec, labels).observe(value, exemplar)

    @contextmanager
    def span(self, name: str, parent: str | None = None, **attributes: str | float) -> Iterator[str]:
        """A span, child of the W3C `traceparent` given; yields its own traceparent for the records that follow."""
        context = _PROPAGATOR.extract({"traceparent": parent}) if parent else None
        with self._tracer.start_as_current_span(name, context=context, attributes=attributes) as span:
            carrier: dict[str, str] = {}
            _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
            yield carrier["traceparent"]

    def close(self) -> None:
        """Flush what is to be exported, as far as the collector takes it in time."""
        flushing = threading.Thread(target=self._provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(FLUSH_S)

    def _metric(self, spec: MetricSpec, labels: dict[str, str]) -> Any:
        metric = self._metrics.get(spec.name)
        if metric is None:
            kind: Any = {"counter": Counter, "gauge": Gauge, "histogram": Histogram}[spec.kind]
            metric = self._metrics[spec.name] = kind(spec.name, spec.meaning, spec.labels, registry=self.registry)
        return metric.labels(**labels) if spec.labels else metric


def _exporter(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415 - a process without one starts sooner
        OTLPSpanExporter,
    )

    return OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces")
