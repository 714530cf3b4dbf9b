"""The Log port on Apache Kafka, through aiokafka."""

from ingest.runtime.log.kafka.config import KafkaConfig
from ingest.runtime.log.kafka.log import KafkaLog

__all__ = ["KafkaConfig", "KafkaLog"]
