"""Apache Kafka's program: a folder of jars, named, beside a command on PATH, or copied from Maven's repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from compose.stack.build_tools import Tool, needed
from compose.stack.steps import run
from compose.stack.tools import Version, parse_version, search_path, which

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from compose.stack.steps import Say

POM = """\
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>tidegate</groupId>
  <artifactId>kafka-server</artifactId>
  <version>{kafka}</version>
  <packaging>pom</packaging>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>{kafka}</version>
    </dependency>
    <dependency>
      <groupId>org.apache.logging.log4j</groupId>
      <artifactId>log4j-slf4j-impl</artifactId>
      <version>{log4j}</version>
    </dependency>
  </dependencies>
</project>
"""
LOG4J = "2.25.4"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
JAVA = Tool("java", (17,), "-version", "default-jre-headless")
MAVEN = Tool("mvn", (3, 6), "--version", "maven")
JAVA_INSTALL = "Kafka needs Java 17 or newer: install a JRE (Debian: default-jre-headless) or set JAVA_HOME"
MAVEN_INSTALL = (
    "to fetch Kafka's jars install Maven (Debian: maven), or unpack Kafka and set TIDEGATE_KAFKA_LIBS=…/libs"
)


class KafkaRecipe:
    """Kafka 4 (KRaft only)."""

    name = "kafka"
    variable = "TIDEGATE_KAFKA_LIBS"
    builds = "4.3.1"
    package = ""
    accepts: tuple[Version, Version] = ((4,), (5,))
    install = f"{JAVA_INSTALL}; {MAVEN_INSTALL}"

    def on_path(self, env: Mapping[str, str]) -> Path | None:
        """The `libs` folder of the distribution whose start script is on PATH."""
        script = which("kafka-server-start.sh", env)
        libs = script and script.resolve().parent.parent / "libs"
        return libs if libs and libs.is_dir() else None

    def in_folder(self, folder: Path) -> Path:
        """The jars lie at the top."""
        return folder

    def version_of(self, path: Path) -> Version:
        """The version in the name of the server's own jar."""
        jars = sorted(path.glob("kafka_2.*.jar"))
        return parse_version(jars[0].stem.partition("-")[2]) if jars else ()

    def build(self, folder: Path, work: Path, env: Mapping[str, str], say: Say) -> None:
        """Copies the jar and everything it needs; Maven checks each against its published checksum."""
        java(env, say)
        maven = needed(MAVEN, MAVEN_INSTALL, env, say)
        work.mkdir(parents=True, exist_ok=True)
        pom = work / "pom.xml"
        pom.write_text(POM.format(kafka=self.builds, log4j=LOG4J))
        say(f"kafka: fetching the jars of {self.builds} (44 MB) with Maven, usually 10 to 60 seconds, once")
        argv = [str(maven), "--batch-mode", "--strict-checksums", "--file", str(pom), COPY]
        argv += ["-DincludeScope=runtime", f"-DoutputDirectory={folder}"]
        run(
            argv,
            what="kafka: fetching jars",
            folder=work,
            env={**env, "PATH": search_path(env)},
            log=work / "maven.log",
            say=say,
        )


def java(env: Mapping[str, str], say: Say) -> Path:
    """Java 17 or newer: JAVA_HOME's, PATH's, or the system's package. Raises CannotObtain."""
    first = f"{env['JAVA_HOME']}/bin:" if env.get("JAVA_HOME") else ""
    return needed(JAVA, JAVA_INSTALL, {**env, "PATH": first + search_path(env)}, say)
