"""What a process's settings must not be together, found before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from compose.processes.config import AnalyticsProcess, ApiProcess, EdgeProcess, IngestProcess, Process
from compose.processes.files import environment_problems
from dashboards.api.config import ApiConfigError, check_config
from ingest.contract.topics import is_name
from ingest.runtime.config import ConfigError, load_config
from ingest.runtime.observe import ListenError, ObserveConfig, require_protection
from ingest.runtime.secrets import SecretError, parse_public_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ingest.runtime.gateways import GatewayConfig
    from ingest.runtime.log.open import LogConfig
    from ingest.runtime.store.config import StoreConfig

T = TypeVar("T", bound=Process)


def load_process(path: Path, kind: type[T]) -> T:
    """Read and validate a process's file. Raises ConfigError with everything that is wrong, a line each."""
    config = load_config(path, kind)
    if found := list(problems(config)):
        raise ConfigError("\n".join(f"{path}: {problem}" for problem in found))
    return config


def problems(config: Process) -> Iterator[str]:
    """Each contradiction with its path, what was found and what is expected."""
    yield from _log_problems(config.log)
    if isinstance(config, IngestProcess | ApiProcess):
        yield from _store_problems(config.store)
    if isinstance(config, AnalyticsProcess) and config.store is not None:
        yield from _store_problems(config.store)
    if isinstance(config, EdgeProcess):
        yield from _edge_problems(config)
    else:
        yield from _gateway_problems(config.gateways)
    if isinstance(config, ApiProcess):
        yield from _lines(lambda: check_config(config.api))
    else:
        yield from _lines(lambda: _check_observe(config.observe))


def warnings(config: Process) -> Iterator[str]:
    """What may be meant, but probably is not; nothing is refused for it."""
    yield from environment_problems(config)
    if isinstance(config, EdgeProcess):
        from edge_aggregator.rules.unmatched import unmatched  # noqa: PLC0415 - only an edge has rules

        yield from unmatched(config.edge.rules, Path(config.edge.data_dir))


def _lines(check: Callable[[], None]) -> Sequence[str]:
    try:
        check()
    except (ApiConfigError, ListenError) as error:
        return str(error).splitlines()
    return ()


def _check_observe(config: ObserveConfig) -> None:
    if config.port is not None and not 0 <= config.port <= 65_535:  # noqa: PLR2004 - the highest TCP port
        raise ListenError(f"observe.port: found {config.port}, expected 0 to 65535")
    require_protection(config)


def _log_problems(log: LogConfig) -> Iterator[str]:
    try:
        log.check()
    except ValueError as error:
        yield f"log.{error}"


def _store_problems(store: StoreConfig) -> Iterator[str]:
    for name in store.missing():
        yield f"store.{name}: missing, a store of kind {store.kind} needs it"


def _edge_problems(config: EdgeProcess) -> Iterator[str]:
    edge = config.edge
    if edge.broker is None and edge.listener is None:
        yield "edge: neither [edge.broker] nor [edge.listener] is given, expected one: name where devices are heard"
    for index, key in enumerate(edge.centre_keys):
        yield from _key_problems(f"edge.centre_keys[{index}]", key)
    for index, key in enumerate(edge.recorder.keys):
        yield from _key_problems(f"edge.recorder.keys[{index}]", key)


def _gateway_problems(gateways: Sequence[GatewayConfig]) -> Iterator[str]:
    keys = [gateway.public_key for gateway in gateways]
    for index, gateway in enumerate(gateways):
        at = f"gateways[{index}]"
        for field in ("gateway", "tenant", "site"):
            name = getattr(gateway, field)
            if not is_name(name):
                yield f"{at}.{field}: found {name!r}, expected a name of letters, digits and _.:@-"
        yield from _key_problems(f"{at}.public_key", gateway.public_key)
        if keys.index(gateway.public_key) != index:
            yield f"{at}.public_key: another gateway has it already: whoever holds it would speak for both"


def _key_problems(place: str, key: str) -> Iterator[str]:
    try:
        parse_public_key(key)
    except SecretError as error:
        yield f"{place}: {error}; `tidegate keys generate` prints one"
